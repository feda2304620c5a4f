#include "core/device/memory.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"

namespace trireme {

Buffer::Buffer(void* data, std::size_t bytes, Device device, Release release)
    : data_(data), bytes_(bytes), device_(device), release_(std::move(release)) {}

Buffer::~Buffer() {
  if (release_) release_(data_);
}

namespace {

constexpr std::size_t alignment = 128, huge_page = std::size_t{2} << 20;

class HostAllocator final : public Allocator {
 public:
  Device device() const override { return Device::cpu(); }
  std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
    const std::size_t align = bytes >= huge_page ? huge_page : alignment;
    const std::size_t size = std::max(align, (bytes + align - 1) / align * align);
    void* data = std::aligned_alloc(align, size);
    require(data != nullptr && size >= bytes, "allocating {} bytes of host memory: the system has none left", bytes);
    if (align == huge_page) madvise(data, size, MADV_HUGEPAGE);  // fewer page faults; refusal is harmless
    return std::make_shared<Buffer>(data, bytes, Device::cpu(), [](void* p) { std::free(p); });
  }
};

class MetaAllocator final : public Allocator {
 public:
  Device device() const override { return Device::meta(); }
  std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
    return std::make_shared<Buffer>(nullptr, bytes, Device::meta(), nullptr);
  }
};

class CudaAllocator final : public Allocator {
 public:
  explicit CudaAllocator(int index) : index_(index) {}
  Device device() const override { return Device::cuda(index_); }
  std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
    void* data = cuda::allocate(index_, std::max(bytes, alignment));
    return std::make_shared<Buffer>(data, bytes, device(), [index = index_](void* p) { cuda::release(index, p); });
  }

 private:
  int index_;
};

}  // namespace

Allocator& system_allocator(Device device) {
  static HostAllocator host;
  static MetaAllocator meta;
  if (device.kind == Device::Kind::cpu) return host;
  if (device.is_meta()) return meta;
  static std::mutex guard;
  static std::map<int, CudaAllocator> cuda;
  const std::lock_guard lock(guard);
  return cuda.try_emplace(device.index, device.index).first->second;
}

/// Shared with every Buffer it handed out, so that blocks may be given back after the allocator is gone.
struct StepAllocator::Pool {
  struct Live {
    std::size_t bytes;
    std::shared_ptr<const std::string> label;  // shared by the blocks of a layer
  };
  std::mutex guard;
  std::multimap<std::size_t, std::shared_ptr<Buffer>> free_blocks;
  std::map<const void*, Live> live;
  std::shared_ptr<const std::string> label = std::make_shared<const std::string>();
  std::size_t in_use = 0, peak = 0, reserved = 0;

  void give_back(const std::shared_ptr<Buffer>& block) {
    const std::lock_guard lock(guard);
    live.erase(block.get());
    in_use -= block->bytes();
    free_blocks.emplace(block->bytes(), block);
  }
};

namespace {

/// Eight size classes per power of two: at most 12.5 % unused, and shapes that differ little share blocks.
std::size_t size_class(std::size_t bytes) {
  if (bytes <= 1024) return (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  const std::size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

}  // namespace

StepAllocator::StepAllocator(Device device) : device_(device), pool_(std::make_shared<Pool>()) {}
StepAllocator::~StepAllocator() = default;

std::shared_ptr<Buffer> StepAllocator::allocate(std::size_t bytes) {
  const std::size_t size = size_class(bytes);
  std::shared_ptr<Buffer> block;
  {
    const std::lock_guard lock(pool_->guard);
    if (const auto found = pool_->free_blocks.find(size); found != pool_->free_blocks.end()) {
      block = std::move(found->second);
      pool_->free_blocks.erase(found);
    }
  }
  const bool fresh = block == nullptr;
  if (fresh) block = from_system(size);
  const std::lock_guard lock(pool_->guard);
  if (fresh) pool_->reserved += size;
  pool_->in_use += size;
  pool_->peak = std::max(pool_->peak, pool_->in_use);
  pool_->live[block.get()] = {size, pool_->label};
  return std::make_shared<Buffer>(block->data(), bytes, device_,
                                  [pool = pool_, block](void*) { pool->give_back(block); });
}

/// From the system; where it has none, once more without the blocks that are only kept.
std::shared_ptr<Buffer> StepAllocator::from_system(std::size_t size) {
  if (bytes_reserved() > bytes_in_use()) {
    try {
      return system_allocator(device_).allocate(size);
    } catch (const Error&) {
      trim();
    }
  }
  try {
    return system_allocator(device_).allocate(size);
  } catch (const Error& error) {
    fail(error.code(), "{}\nin use on {}: {} bytes; the largest users:\n{}", error.what(), device_.name(),
         bytes_in_use(), report(5));
  }
}

void StepAllocator::set_label(const std::string& label) {
  const std::lock_guard lock(pool_->guard);
  pool_->label = std::make_shared<const std::string>(label);
}
std::size_t StepAllocator::bytes_in_use() const {
  const std::lock_guard lock(pool_->guard);
  return pool_->in_use;
}
std::size_t StepAllocator::peak_bytes() const {
  const std::lock_guard lock(pool_->guard);
  return pool_->peak;
}
std::size_t StepAllocator::bytes_reserved() const {
  const std::lock_guard lock(pool_->guard);
  return pool_->reserved;
}

std::string StepAllocator::report(int count) const {
  const std::lock_guard lock(pool_->guard);
  std::vector<Pool::Live> blocks;
  for (const auto& [key, block] : pool_->live) blocks.push_back(block);
  std::stable_sort(blocks.begin(), blocks.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  std::string out;
  for (std::size_t i = 0; i < blocks.size() && i < static_cast<std::size_t>(count); ++i)
    out += fmt::format("{:>12} bytes  {}\n", blocks[i].bytes, blocks[i].label->empty() ? "?" : *blocks[i].label);
  return out;
}

void StepAllocator::trim() {
  const std::lock_guard lock(pool_->guard);
  for (const auto& [size, block] : pool_->free_blocks) pool_->reserved -= size;
  pool_->free_blocks.clear();
}

void copy_bytes(Place<void*> to, Place<const void*> from, std::size_t bytes) {
  if (bytes == 0 || to.device.is_meta() || from.device.is_meta()) return;
  if (to.device.is_cuda() || from.device.is_cuda()) return cuda::copy(to.address, from.address, bytes);
  std::memmove(to.address, from.address, bytes);
}

void copy_bytes(Place<void*> to, Place<const void*> from, std::size_t bytes, const Stream& stream) {
  if (bytes == 0 || to.device.is_meta() || from.device.is_meta()) return;
  if (stream.device().is_cuda()) return cuda::copy_async(to.address, from.address, bytes, stream.native());
  require(!to.device.is_cuda() && !from.device.is_cuda(), "copying from {} to {} on a stream of {}: use one of the GPU",
          from.device.name(), to.device.name(), stream.device().name());
  std::memmove(to.address, from.address, bytes);
}

}  // namespace trireme
