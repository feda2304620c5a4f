// The threads behind a Loader. A worker takes a free slot and the next ticket under one lock, so tickets always have
// slots in order and the lowest one can always be finished: nothing can block for ever.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "datasets/batch_filler.hpp"

namespace trireme::detail {

class LoaderCore {
 public:
  /// Batches are put into blocks of `memory`, which is host memory.
  LoaderCore(Samples samples, LoaderOptions options, Allocator& memory);

  const BatchPlan& plan() const { return plan_; }
  void start();
  /// Joins the threads; slots stay for batches that are still held.
  void stop() noexcept;
  LoaderSlot* next();
  void give_back(LoaderSlot* slot) noexcept;
  /// Whether next() would give a batch (or its error) without waiting for a thread.
  bool is_ready() const { return front_ready_.load(std::memory_order_relaxed); }
  std::uint64_t next_ticket() const;
  double waited_seconds() const;

 private:
  /// What a ticket became: a filled slot or an error.
  struct Outcome {
    LoaderSlot* slot = nullptr;
    std::exception_ptr error;
  };

  void check_can_deliver() const;
  /// Where the outcome of the next batch is or will be: never more tickets are out than there are slots.
  Outcome& front() { return ready_[delivered_ % ready_.size()]; }
  void expect_ready() const;
  LoaderSlot* fill_inline();
  LoaderSlot* wait_for_ready(std::unique_lock<std::mutex>& lock);
  void work(BatchFiller& filler);

  const BatchPlan plan_;
  std::deque<LoaderSlot> slots_;     // a deque: addresses stay
  std::deque<BatchFiller> fillers_;  // one per thread

  mutable std::mutex guard_;
  std::condition_variable work_wanted_, ready_came_;
  std::atomic<bool> stop_{false};
  std::vector<LoaderSlot*> free_;         // the last one used is taken first: its memory is nearest
  std::vector<Outcome> ready_;            // by ticket, around a ring
  std::atomic<bool> front_ready_{false};  // front() is filled, for those without the lock
  std::uint64_t taken_ = 0, delivered_ = 0;
  int held_ = 0;
  bool failed_ = false;  // a ticket failed: the ones before it are still delivered, none is begun after it
  std::exception_ptr error_;
  double waited_seconds_ = 0;
  std::vector<std::jthread> threads_;  // last: joined before anything they use goes
};

}  // namespace trireme::detail
