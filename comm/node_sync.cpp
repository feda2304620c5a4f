#include "comm/node_sync.hpp"

#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <ctime>

#include "comm/communicator.hpp"
#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

using Word = std::atomic<std::uint32_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 4, "counters are shared between processes");

constexpr auto spin_time = std::chrono::microseconds(30);
constexpr long sleep_nanoseconds = 20'000'000;  // how late a dead process may be noticed

// Whoever was first to fail is ending the job; speaking up at once would put a consequence in the place of the cause.
constexpr auto grace = std::chrono::seconds(1);

void futex_sleep(Word& word, std::uint32_t seen) {
  timespec limit{0, sleep_nanoseconds};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, &limit, nullptr, 0);
}

void futex_wake(Word& word) { ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

/// Counters wrap around: what counts is the distance.
bool is_reached(std::uint32_t value, std::uint32_t target) { return static_cast<std::int32_t>(value - target) >= 0; }

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

void relax() { __builtin_ia32_pause(); }

}  // namespace

/// What one process writes and all read; on cache lines of its own.
struct alignas(128) NodeSync::Line {
  Word counters[2];
  Word sleepers[2];
  Word process;  // its id, 0 before it arrived
  Word left;
  alignas(64) NodeOperation operations[2];  // by parity: a peer may still read the last one
};

std::size_t NodeSync::bytes(int processes) { return sizeof(Line) * to_size(processes); }

NodeSync::NodeSync(void* shared, const NodeGroup& group)
    : shared_(static_cast<std::byte*>(shared)),
      rank_(group.rank),
      size_(group.size),
      // With fewer cores than processes a spinning waiter keeps out the one it waits for. Bound processes see only
      // their own cores, which are then not shared.
      spins_(usable_cores() >= group.size || usable_cores() < ::sysconf(_SC_NPROCESSORS_ONLN)),
      names_(group.names),
      handles_(to_size(group.size), -1) {
  line(rank_).process.store(static_cast<std::uint32_t>(::getpid()));
}

NodeSync::~NodeSync() {
  line(rank_).left.store(1);
  for (const auto counter : {Counter::filled, Counter::done}) futex_wake(cell(rank_, counter));
  for (const int handle : handles_) {
    if (handle >= 0) ::close(handle);
  }
}

NodeSync::Line& NodeSync::line(int rank) const {
  return *reinterpret_cast<Line*>(shared_ + sizeof(Line) * static_cast<std::size_t>(rank));
}

std::atomic<std::uint32_t>& NodeSync::cell(int rank, Counter counter) const {
  return line(rank).counters[static_cast<std::size_t>(counter)];
}

std::uint32_t NodeSync::mine(Counter counter) const { return cell(rank_, counter).load(std::memory_order_relaxed); }

void NodeSync::publish(Counter counter) {
  Word& word = cell(rank_, counter);
  word.fetch_add(1);
  if (line(rank_).sleepers[static_cast<std::size_t>(counter)].load() != 0) futex_wake(word);
}

bool NodeSync::reached(Counter counter, std::uint32_t target) const {
  for (int r = 0; r < size_; ++r) {
    if (!is_reached(cell(r, counter).load(std::memory_order_acquire), target)) return false;
  }
  return true;
}

void NodeSync::wait(Counter counter, std::uint32_t target) {
  for (int step = 1; step < size_; ++step) wait_for((rank_ + step) % size_, counter, target);
}

void NodeSync::wait_for(int other, Counter counter, std::uint32_t target) {
  Word& word = cell(other, counter);
  if (is_reached(word.load(std::memory_order_acquire), target)) return;
  if (spins_) {
    const auto until = std::chrono::steady_clock::now() + spin_time;
    do {
      for (int i = 0; i < 32; ++i) {
        if (is_reached(word.load(std::memory_order_acquire), target)) return;
        relax();
      }
    } while (std::chrono::steady_clock::now() < until);
  }
  Word& sleepers = line(other).sleepers[static_cast<std::size_t>(counter)];
  for (;;) {
    sleepers.fetch_add(1);
    const std::uint32_t seen = word.load();
    if (!is_reached(seen, target)) futex_sleep(word, seen);
    sleepers.fetch_sub(1);
    const auto now = word.load(std::memory_order_acquire);
    if (is_reached(now, target)) return;
    if (now == seen) check_peers(counter, target);
  }
}

bool NodeSync::is_alive(int other) {
  const auto process = static_cast<pid_t>(line(other).process.load());
  if (process == 0) return true;  // not arrived yet
  int& handle = handles_[static_cast<std::size_t>(other)];
  if (handle < 0) handle = static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
  if (handle < 0) return errno != ESRCH && (::kill(process, 0) == 0 || errno == EPERM);
  pollfd ended{handle, POLLIN, 0};
  return ::poll(&ended, 1, 0) == 0;
}

/// A process that ended after its part was done is not missed.
void NodeSync::check_peers(Counter counter, std::uint32_t target) {
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) continue;
    const bool left = line(r).left.load() != 0;
    if (!left && is_alive(r)) continue;
    if (is_reached(cell(r, counter).load(), target)) continue;
    const auto now = std::chrono::steady_clock::now();
    if (lost_since_ == std::chrono::steady_clock::time_point{}) lost_since_ = now;
    if (now - lost_since_ < grace) return;
    fail(ExitCode::peer_lost, "{} (process {}) {} while {} waited for it in a reduction within the host",
         names_[static_cast<std::size_t>(r)], line(r).process.load(), left ? "left" : "died",
         names_[static_cast<std::size_t>(rank_)]);
  }
}

void NodeSync::describe(const NodeOperation& operation) { line(rank_).operations[operation.sequence % 2] = operation; }

void NodeSync::check_same(const NodeOperation& mine) const {
  const auto text = [](const NodeOperation& operation) {
    const auto place = operation.offset < 0
                           ? std::string("through staging")
                           : fmt::format("at byte {} of window {}", operation.offset, operation.window);
    return fmt::format("{} of {} x {} {}", name_of(static_cast<Collective>(operation.kind)),
                       name_of(static_cast<DType>(operation.dtype)), operation.count, place);
  };
  for (int r = 0; r < size_; ++r) {
    const NodeOperation& other = line(r).operations[mine.sequence % 2];
    if (other == mine) continue;
    fail(ExitCode::disagree, "{} makes a {} where {} makes a {}; all ranks must make the same calls in the same order",
         names_[static_cast<std::size_t>(rank_)], text(mine), names_[static_cast<std::size_t>(r)], text(other));
  }
}

}  // namespace trireme
