// How processes that share a node window wait for each other. Each has two counters that only grow, `filled` (its data
// can be read) and `done` (its results can be read), and the description of its current operation. A waiter spins for
// some microseconds and then sleeps on the counter (futex), so that it does not take the core from the one it waits
// for. A process that died or left is noticed while waiting: Error(peer_lost) names it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/node_group.hpp"

namespace trireme {

/// What a process says about its current operation, for checking that all make the same one.
struct NodeOperation {
  std::uint64_t sequence = 0;  // of the operations in this window
  std::int64_t count = 0;
  std::int64_t offset = -1;  // in a window; -1: the data pass through staging
  std::int32_t window = -1;
  std::uint8_t kind = 0;
  std::uint8_t reduction = 0;
  std::uint8_t dtype = 0;
  std::uint8_t root = 0;
  friend bool operator==(const NodeOperation&, const NodeOperation&) = default;
};

class NodeSync {
 public:
  enum class Counter { filled, done };

  /// Bytes of shared memory, zero at first.
  static std::size_t bytes(int processes);
  /// `shared` is the same memory on all processes and outlives this object. The other processes need not be there yet.
  NodeSync(void* shared, const NodeGroup& group);
  /// Tells the others that this process takes no further part.
  ~NodeSync();
  NodeSync(const NodeSync&) = delete;
  NodeSync& operator=(const NodeSync&) = delete;

  /// This process' own counter.
  std::uint32_t mine(Counter counter) const;
  /// Counts this process' own counter up by one and wakes those that wait for it.
  void publish(Counter counter);
  /// Whether the counters of all processes have reached `target`.
  bool reached(Counter counter, std::uint32_t target) const;
  /// Blocks until reached(); throws Error(peer_lost) a second after a process died or left before.
  void wait(Counter counter, std::uint32_t target);
  /// Says what this process is about to do; call before publishing `filled`.
  void describe(const NodeOperation& operation);
  /// Throws Error(disagree) when another process described a different operation. Call once `filled` was reached.
  void check_same(const NodeOperation& mine) const;

 private:
  struct Line;
  Line& line(int rank) const;
  std::atomic<std::uint32_t>& cell(int rank, Counter counter) const;
  void wait_for(int other, Counter counter, std::uint32_t target);
  bool is_alive(int other);
  void check_peers(Counter counter, std::uint32_t target);

  std::byte* shared_;
  int rank_;
  int size_;
  bool spins_;
  std::chrono::steady_clock::time_point lost_since_{};  // when a missing process was first noticed
  std::vector<std::string> names_;
  std::vector<int> handles_;  // pidfd of each process, -1 where not opened
};

}  // namespace trireme
