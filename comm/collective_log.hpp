// The record of what this process sent: every collective and every message passes Communicator's choke point, which
// numbers it here. The last 2,000 are kept for hang reports ("rank 3 waits in all_reduce number 812 of data, f32 x
// 4096, started 31 s ago"), mismatch checks and profiles. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/tensor/dtype.hpp"

namespace trireme {

enum class Collective : std::uint8_t {
  all_reduce,
  reduce_scatter,
  all_gather,
  broadcast,
  reduce,
  gather,
  scatter,
  all_to_all,
  send,
  recv,
  exchange,
  barrier,
};

/// "all_reduce", "recv", ...
std::string_view name_of(Collective kind);

inline bool reduces(Collective kind) {
  return kind == Collective::all_reduce || kind == Collective::reduce || kind == Collective::reduce_scatter;
}

struct ProgressPage;

class CollectiveLog : public std::enable_shared_from_this<CollectiveLog> {
 public:
  static constexpr std::size_t capacity = 2000;
  using Time = std::chrono::steady_clock::time_point;

  struct Entry {
    std::uint64_t sequence = 0;  // counts from 1 per communicator: the same on all its ranks
    std::string communicator;
    Collective kind = Collective::barrier;
    std::int64_t count = 0;  // elements of the larger of what is read and written
    DType dtype = DType::f32;
    std::uint8_t reduction = 0;
    int root = 0;       // of a rooted call
    std::string phase;  // what the caller was doing: "forward", "backward", ...
    Time queued{};
    Time started{};   // epoch while it is queued
    Time finished{};  // epoch while it runs
    /// "all_reduce number 12 of world (f32 x 4096) in backward".
    std::string text() const;
    bool is_finished() const { return finished != Time{}; }
  };

  /// One recorded call, to be told when it starts and ends. Copies speak of the same entry.
  class Ticket {
   public:
    Ticket() = default;
    void started() const;
    void finished() const;
    std::uint64_t sequence() const { return sequence_; }

   private:
    friend class CollectiveLog;
    std::shared_ptr<CollectiveLog> log_;
    std::uint64_t index_ = 0;
    std::uint64_t sequence_ = 0;
  };

  /// Records a call; `entry.phase` and `queued` are filled in here.
  Ticket record(Entry entry);
  /// Put on every later entry.
  void set_phase(std::string phase);
  /// The step that is being computed, counted from 1, for whoever watches.
  void set_step(std::int64_t step);
  /// Shows everything on `page` too; null: nowhere. Before the first call.
  void publish(ProgressPage* page);
  enum class Checks : std::uint8_t { off, on };
  /// From now on every collective is compared between the ranks before it runs (Communicator), or not. On all ranks
  /// alike.
  void check_calls(Checks checks = Checks::on);
  bool checks_calls() const { return checks_.load(std::memory_order_relaxed); }
  /// Tells whoever watches that a comparison begins or is over.
  class Comparing {
   public:
    explicit Comparing(const CollectiveLog& log);
    ~Comparing();
    Comparing(const Comparing&) = delete;
    Comparing& operator=(const Comparing&) = delete;

   private:
    ProgressPage* page_;
  };
  /// The kept entries, oldest first.
  std::vector<Entry> recent() const;
  /// Those that are not finished, oldest first.
  std::vector<Entry> unfinished() const;
  /// Calls recorded since the start.
  std::uint64_t calls() const;
  /// Seconds in which at least one call was running.
  double busy_seconds() const;

 private:
  void mark(std::uint64_t index, bool start);

  mutable std::mutex guard_;
  std::vector<Entry> ring_;
  std::uint64_t next_ = 0;
  ProgressPage* page_ = nullptr;
  std::atomic<bool> checks_{false};
  std::string phase_;
  std::int64_t running_ = 0;
  Time busy_since_{};
  double busy_ = 0;
};

}  // namespace trireme
