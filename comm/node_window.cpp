#include "comm/node_window.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::string_view fine = "ok:";

std::size_t rounded(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }
std::size_t pages(std::size_t bytes) { return rounded(bytes, page); }

std::string random_token() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}", device(), device(), device());
}

std::string megabytes(std::size_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

std::string room() {
  struct statvfs info {};
  if (::statvfs("/dev/shm", &info) != 0) return "unknown";
  return megabytes(static_cast<std::size_t>(info.f_bavail) * info.f_frsize);
}

/// Sets aside room for part of a file; otherwise a full /dev/shm would be noticed as a crash at the first write.
void reserve(int descriptor, std::size_t first, std::size_t bytes, const std::string& whole) {
  int error = EINTR;
  while (error == EINTR) error = ::posix_fallocate(descriptor, narrow<off_t>(first), narrow<off_t>(bytes));
  if (error != 0) {
    fail(ExitCode::storage, "/dev/shm is too small: {} wanted, {} free ({})", whole, room(), std::strerror(error));
  }
}

/// Maps `bytes` of the file to an address that is a multiple of a huge page; MAP_FAILED when refused.
void* map_aligned(int descriptor, std::size_t bytes) {
  const std::size_t reserved = bytes + huge_page;
  void* place = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return place;
  auto* start = static_cast<std::byte*>(place);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(start) % huge_page;
  std::byte* base = start + (past == 0 ? 0 : huge_page - past);
  void* memory = ::mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
  if (memory == MAP_FAILED) {
    ::munmap(start, reserved);
    return memory;
  }
  if (base > start) ::munmap(start, static_cast<std::size_t>(base - start));
  ::munmap(base + bytes, static_cast<std::size_t>(start + reserved - (base + bytes)));
  return memory;
}

/// Puts memory that was written to on huge pages, where the kernel can (Linux 6.1 and later; a request of the process'
/// own, which asks no administrator). Sums over megabytes gain a tenth. Refused or not, the memory stays as it was.
void prefer_huge_pages(std::byte* memory, std::size_t bytes) {
  constexpr int madv_collapse = 25;  // younger than the C library
  if (bytes >= huge_page) ::madvise(memory, bytes / huge_page * huge_page, madv_collapse);
}

/// The first refusal in rank order, with the name of who refused; empty when all agree.
std::string first_refusal(const NodeGroup& group, const std::vector<std::string>& answers) {
  for (std::size_t r = 0; r < answers.size(); ++r) {
    if (!answers[r].starts_with(fine)) return group.names.at(r) + ": " + answers[r];
  }
  return {};
}

template <class F>
std::string attempt(F&& f) {
  try {
    return std::string(fine) + f();
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

class NodeWindow::SliceAllocator final : public Allocator {
 public:
  explicit SliceAllocator(std::shared_ptr<NodeWindow> window) : window_(std::move(window)) {}
  Device device() const override { return Device::cpu(); }
  std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
    const std::lock_guard lock(window_->guard_);
    const std::size_t first = window_->used_, wanted = (bytes + 127) / 128 * 128;
    require(wanted >= bytes && wanted <= window_->slice_bytes() - first,
            "{} bytes were asked from a shared window with {} of {} bytes in use; make the window larger", bytes, first,
            window_->slice_bytes());
    window_->used_ += wanted;
    return std::make_shared<Buffer>(window_->slice(window_->rank()) + first, bytes, Device::cpu(),
                                    [window = window_](void*) {});
  }

 private:
  std::shared_ptr<NodeWindow> window_;
};

NodeWindow::Result NodeWindow::create(const NodeGroup& group, const Sizes& sizes) {
  std::shared_ptr<NodeWindow> window(new NodeWindow(group, {pages(sizes.control), pages(sizes.slice)}));
  const bool creates = group.rank == 0;
  const auto address = group.exchange(attempt([&] {
    if (!creates) return std::string();
    window->create_segment();
    return fmt::format("{} /proc/{}/fd/{}", random_token(), ::getpid(), window->descriptor_);
  }));
  auto refusal = first_refusal(group, address);
  if (!refusal.empty()) return {nullptr, refusal};
  const auto text = address.front().substr(fine.size());
  const auto space = text.find(' ');
  const auto token = text.substr(0, space);
  refusal = first_refusal(group, group.exchange(attempt([&] {
    if (!creates) window->open_segment(text.substr(space + 1));
    window->reserve_and_map(token);
    return std::string();
  })));
  if (!refusal.empty()) return {nullptr, refusal};
  refusal = first_refusal(group, group.exchange(attempt([&] {
    require(std::memcmp(window->base_, token.data(), token.size()) == 0,
            "the shared memory of {} cannot be reached from here (processes in different containers?)", group.names[0]);
    return std::string();
  })));
  ::close(std::exchange(window->descriptor_, -1));
  if (!refusal.empty()) return {nullptr, refusal};
  return {window, {}};
}

NodeWindow::~NodeWindow() {
  if (base_ != nullptr) ::munmap(base_, total());
  if (descriptor_ >= 0) ::close(descriptor_);
}

/// Large slices begin on huge pages of their own; what is left between them is never backed by memory.
std::size_t NodeWindow::slice_offset(int rank) const {
  const std::size_t unit = sizes_.slice >= huge_page ? huge_page : page;
  return rounded(header_bytes + sizes_.control, unit) + static_cast<std::size_t>(rank) * rounded(sizes_.slice, unit);
}

std::size_t NodeWindow::total() const { return slice_offset(size_); }

std::byte* NodeWindow::slice(int rank) const { return base_ + slice_offset(rank); }

void NodeWindow::create_segment() {
  static std::atomic<int> counter{0};
  const auto name = fmt::format("/trireme-{}-{}-{}", ::getpid(), counter++, random_token());
  descriptor_ = ::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
  if (descriptor_ < 0) fail(ExitCode::failure, "shm_open failed: {}", std::strerror(errno));
  ::shm_unlink(name.c_str());
  if (::ftruncate(descriptor_, narrow<off_t>(total())) != 0) {
    fail(ExitCode::failure, "a shared segment of {} was refused: {}", megabytes(total()), std::strerror(errno));
  }
}

void NodeWindow::open_segment(const std::string& address) {
  descriptor_ = ::open(address.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor_ < 0) fail(ExitCode::failure, "opening {} failed: {}", address, std::strerror(errno));
  struct stat info {};
  require(::fstat(descriptor_, &info) == 0 && info.st_size == narrow<off_t>(total()),
          "{} is not the shared segment that was announced (processes in different containers?)", address);
}

void NodeWindow::reserve_and_map(const std::string& token) {
  const auto whole = fmt::format("{} for {} processes", megabytes(total()), size_);
  const bool creates = rank_ == 0;
  if (creates) reserve(descriptor_, 0, header_bytes + sizes_.control, whole);
  reserve(descriptor_, slice_offset(rank_), sizes_.slice, whole);
  void* memory = map_aligned(descriptor_, total());
  if (memory == MAP_FAILED) fail(ExitCode::failure, "mapping {} failed: {}", megabytes(total()), std::strerror(errno));
  base_ = static_cast<std::byte*>(memory);
  if (creates) std::memcpy(base_, token.data(), token.size());
  std::memset(slice(rank_), 0, sizes_.slice);  // first touch by the owner
  prefer_huge_pages(slice(rank_), sizes_.slice);
}

std::optional<std::size_t> NodeWindow::offset_of(const void* address) const {
  const auto* at = static_cast<const std::byte*>(address);
  const std::byte* first = slice(rank_);
  if (at < first || at >= first + sizes_.slice) return std::nullopt;
  return static_cast<std::size_t>(at - first);
}

std::shared_ptr<Allocator> NodeWindow::allocator() { return std::make_shared<SliceAllocator>(shared_from_this()); }

}  // namespace trireme
