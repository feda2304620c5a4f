#include "comm/progress_page.hpp"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace trireme {
namespace {

constexpr std::string_view phase_names[] = {"none",       "start",         "data",      "forward",
                                            "backward",   "communication", "optimizer", "checkpoint",
                                            "validation", "end",           "other"};

ProgressPage* shown = nullptr;  // for the signal handler
int stack_file = -1;

void put(std::string_view text) { [[maybe_unused]] const ssize_t done = ::write(stack_file, text.data(), text.size()); }

/// Only calls that a signal handler may make; backtrace() was called before, so it allocates nothing.
void write_stack(int) {
  const int error = errno;
  void* frames[64];
  const int depth = ::backtrace(frames, 64);
  char number[24];
  const auto end = std::to_chars(number, number + sizeof number, ::syscall(SYS_gettid));
  put("thread ");
  put({number, end.ptr});
  put("\n");
  ::backtrace_symbols_fd(frames, depth, stack_file);
  shown->stacks.fetch_add(1, std::memory_order_release);
  errno = error;
}

int stack_signal() { return SIGRTMIN + 9; }

void write_stacks_when_asked(ProgressPage& page) {
  void* frame = nullptr;
  ::backtrace(&frame, 1);  // loads what it needs
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = write_stack;
  action.sa_flags = SA_RESTART;
  if (::sigaction(stack_signal(), nullptr, &before) != 0 || before.sa_handler != SIG_DFL) return;
  if (::sigaction(stack_signal(), &action, nullptr) != 0) return;
  page.stack_signal.store(stack_signal(), std::memory_order_relaxed);
}

struct Descriptors {
  int page = -1, stacks = -1;
};

Descriptors inherited() {
  const char* text = std::getenv(ProgressPage::variable);
  Descriptors out;
  if (text == nullptr) return out;
  const char* const end = text + std::strlen(text);
  const auto first = std::from_chars(text, end, out.page);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ',') return {};
  const auto second = std::from_chars(first.ptr + 1, end, out.stacks);
  return second.ec == std::errc{} && second.ptr == end ? out : Descriptors{};
}

ProgressPage* take_over() {
  const Descriptors files = inherited();
  struct stat facts {};
  // The variable may name descriptors that somebody between the wrapper and this program has closed or replaced.
  if (files.page < 0 || ::fstat(files.page, &facts) != 0 || facts.st_size != sizeof(ProgressPage)) return nullptr;
  void* memory = ::mmap(nullptr, sizeof(ProgressPage), PROT_READ | PROT_WRITE, MAP_SHARED, files.page, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* const page = static_cast<ProgressPage*>(memory);
  std::int64_t owner = 0;
  const bool ours = page->magic.load(std::memory_order_acquire) == ProgressPage::form &&
                    page->process.compare_exchange_strong(owner, ::getpid());
  if (!ours && !(owner > 0 && ::kill(static_cast<pid_t>(owner), 0) != 0 && errno == ESRCH)) {
    ::munmap(memory, sizeof(ProgressPage));
    return nullptr;
  }
  page->process.store(::getpid());  // an earlier program of the rank has ended
  ::fcntl(files.page, F_SETFD, FD_CLOEXEC);
  ::fcntl(files.stacks, F_SETFD, FD_CLOEXEC);
  shown = page;
  stack_file = files.stacks;
  page->phase.store(static_cast<std::uint32_t>(Phase::start), std::memory_order_relaxed);
  page->attached_ns.store(monotonic_ns(), std::memory_order_relaxed);
  publish_activity(&page->activity);
  if (stack_file >= 0) write_stacks_when_asked(*page);
  return page;
}

}  // namespace

std::string_view name_of(Phase phase) {
  const auto at = static_cast<std::size_t>(phase);
  return at < std::size(phase_names) ? phase_names[at] : "other";
}

Phase phase_from(std::string_view text) {
  if (text == "flush") return Phase::communication;
  if (text == "evaluation") return Phase::validation;
  const auto* const at = std::find(std::begin(phase_names), std::end(phase_names), text);
  return at == std::end(phase_names) ? Phase::other : static_cast<Phase>(at - std::begin(phase_names));
}

void ProgressPage::record(const Call& call) {
  Slot& slot = slots_[call.index % kept];
  slot.stamp.store(0, std::memory_order_release);
  slot.sequence.store(call.sequence, std::memory_order_relaxed);
  char name[name_words * 8] = {};
  // The end of a long name tells more than its beginning.
  const std::size_t size = std::min(call.communicator.size(), sizeof name);
  std::memcpy(name, call.communicator.data() + (call.communicator.size() - size), size);
  for (std::size_t k = 0; k < name_words; ++k) {
    std::uint64_t word = 0;
    std::memcpy(&word, name + 8 * k, sizeof word);
    slot.name[k].store(word, std::memory_order_relaxed);
  }
  const std::uint64_t what = std::uint64_t{call.kind} | std::uint64_t{call.dtype} << 8 |
                             std::uint64_t{call.reduction} << 16 | static_cast<std::uint64_t>(call.phase) << 24 |
                             static_cast<std::uint64_t>(static_cast<std::uint32_t>(call.root)) << 32;
  slot.what.store(what, std::memory_order_relaxed);
  slot.count.store(call.count, std::memory_order_relaxed);
  slot.queued.store(call.queued, std::memory_order_relaxed);
  slot.started.store(0, std::memory_order_relaxed);
  slot.finished.store(0, std::memory_order_relaxed);
  slot.stamp.store(call.index + 1, std::memory_order_release);
  calls.store(call.index + 1, std::memory_order_release);
}

void ProgressPage::mark_started(std::uint64_t index, std::int64_t time) {
  slots_[index % kept].started.store(time, std::memory_order_relaxed);
}

void ProgressPage::mark_finished(std::uint64_t index, std::int64_t time) {
  slots_[index % kept].finished.store(time, std::memory_order_relaxed);
}

std::vector<ProgressPage::Call> ProgressPage::recent() const {
  std::vector<Call> out;
  const std::uint64_t end = calls.load(std::memory_order_acquire);
  for (std::uint64_t index = end > kept ? end - kept : 0; index < end; ++index) {
    const Slot& slot = slots_[index % kept];
    if (slot.stamp.load(std::memory_order_acquire) != index + 1) continue;
    Call call{.index = index, .sequence = slot.sequence.load(std::memory_order_relaxed)};
    char name[name_words * 8 + 1] = {};
    for (std::size_t k = 0; k < name_words; ++k) {
      const std::uint64_t word = slot.name[k].load(std::memory_order_relaxed);
      std::memcpy(name + 8 * k, &word, sizeof word);
    }
    call.communicator = name;
    const std::uint64_t what = slot.what.load(std::memory_order_relaxed);
    call.kind = static_cast<std::uint8_t>(what);
    call.dtype = static_cast<std::uint8_t>(what >> 8);
    call.reduction = static_cast<std::uint8_t>(what >> 16);
    call.phase = static_cast<Phase>(what >> 24 & 0xff);
    call.root = static_cast<std::int32_t>(what >> 32);
    call.count = slot.count.load(std::memory_order_relaxed);
    call.queued = slot.queued.load(std::memory_order_relaxed);
    call.started = slot.started.load(std::memory_order_relaxed);
    call.finished = slot.finished.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (slot.stamp.load(std::memory_order_relaxed) == index + 1) out.push_back(std::move(call));
  }
  return out;
}

ProgressPage* progress_page() {
  static ProgressPage* const page = take_over();
  return page;
}

std::int64_t monotonic_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace trireme
