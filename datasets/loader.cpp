// The threads behind a Loader. A worker takes a free slot and the next ticket under one lock, so tickets always have
// slots in order and the lowest one can always be finished: nothing can block for ever.
#include "datasets/loader.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/base/checked.hpp"
#include "core/base/profile.hpp"
#include "datasets/batch_filler.hpp"

namespace trireme {
namespace detail {

class LoaderCore {
 public:
  LoaderCore(Samples samples, LoaderOptions options) : plan_(std::move(samples), std::move(options)) {
    const LoaderOptions& o = plan_.options();
    const int count = o.threads == 0 ? o.held : o.depth + o.held;
    for (int i = 0; i < count; ++i) {
      slots_.push_back(plan_.make_slot());
      free_.push_back(&slots_.back());
    }
    ready_.resize(slots_.size());
    for (int i = 0; i < std::max(o.threads, 1); ++i) fillers_.emplace_back(plan_);
  }

  const BatchPlan& plan() const { return plan_; }

  void start() {
    try {
      for (int i = 0; i < plan_.options().threads; ++i)
        threads_.emplace_back([this, i] { work(fillers_[to_size(i)]); });
    } catch (...) {
      stop();  // the system gave only some of the threads
      throw;
    }
  }

  /// Joins the threads; slots stay for batches that are still held.
  void stop() noexcept {
    {
      const std::lock_guard lock(guard_);
      stop_.store(true, std::memory_order_relaxed);
    }
    work_wanted_.notify_all();
    threads_.clear();
  }

  LoaderSlot* next() {
    const ProfileSpan span("next batch", ProfileSpan::Kind::data);
    const auto begin = std::chrono::steady_clock::now();
    if (!threads_.empty()) expect_ready();
    std::unique_lock lock(guard_);
    check_can_deliver();
    LoaderSlot* const slot = threads_.empty() ? fill_inline() : wait_for_ready(lock);
    ++held_;
    ++delivered_;
    front_ready_ = front().slot != nullptr;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    waited_seconds_ += took.count();
    return slot;
  }

  void give_back(LoaderSlot* slot) noexcept {
    const ProfileSpan span("give batch back", ProfileSpan::Kind::data);
    {
      const std::lock_guard lock(guard_);
      free_.push_back(slot);
      --held_;
    }
    work_wanted_.notify_one();
  }

  std::uint64_t next_ticket() const {
    const std::lock_guard lock(guard_);
    return delivered_;
  }

  double waited_seconds() const {
    const std::lock_guard lock(guard_);
    return waited_seconds_;
  }

 private:
  /// What a ticket became: a filled slot or an error.
  struct Outcome {
    LoaderSlot* slot = nullptr;
    std::exception_ptr error;
  };

  void check_can_deliver() const {
    if (error_) std::rethrow_exception(error_);
    require(!plan_.past_end(delivered_), "the evaluation has no batch left: ask finished() first");
    require(held_ < plan_.options().held,
            "{} batches of the loader are held: let one go before the next, or raise LoaderOptions::held", held_);
  }

  /// Where the outcome of the next batch is or will be: never more tickets are out than there are slots.
  Outcome& front() { return ready_[delivered_ % ready_.size()]; }

  /// Looks out for the next batch for as long as going to sleep and being woken would take.
  void expect_ready() const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
    while (!front_ready_.load(std::memory_order_relaxed) && std::chrono::steady_clock::now() < until)
      std::this_thread::yield();  // the one we wait for may need this very core
  }

  LoaderSlot* fill_inline() {
    LoaderSlot* const slot = free_.back();
    try {
      fillers_.front().fill(delivered_, *slot, stop_);
    } catch (...) {
      error_ = std::current_exception();
      throw;
    }
    free_.pop_back();
    return slot;
  }

  LoaderSlot* wait_for_ready(std::unique_lock<std::mutex>& lock) {
    ready_came_.wait(lock, [&] { return front().slot != nullptr; });
    const Outcome outcome = front();
    if (outcome.error) {
      error_ = outcome.error;
      std::rethrow_exception(error_);
    }
    front() = {};
    return outcome.slot;
  }

  void work(BatchFiller& filler) {
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_BATCH, &none);  // being woken, do not take the core from the thread that computes
    std::unique_lock lock(guard_);
    for (;;) {
      work_wanted_.wait(lock, [&] { return stop_ || (!free_.empty() && !failed_); });
      if (stop_ || plan_.past_end(taken_)) return;
      LoaderSlot* const slot = free_.back();
      free_.pop_back();
      const std::uint64_t ticket = taken_++;
      lock.unlock();
      Outcome outcome{slot, nullptr};
      try {
        filler.fill(ticket, *slot, stop_);
      } catch (...) {
        outcome.error = std::current_exception();
      }
      lock.lock();
      failed_ = failed_ || outcome.error;
      ready_[ticket % ready_.size()] = outcome;
      front_ready_ = front().slot != nullptr;
      ready_came_.notify_one();
    }
  }

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

}  // namespace detail

Batch& Batch::operator=(Batch&& other) noexcept {
  if (this != &other) {
    release();
    core_ = std::move(other.core_);
    slot_ = other.slot_;
  }
  return *this;
}

Batch::~Batch() { release(); }

void Batch::release() noexcept {
  if (core_) core_->give_back(slot_);
  core_.reset();
}

const Tensor& Batch::field(std::string_view name) const { return slot_->fields[to_size(core_->plan().place_of(name))]; }
const Tensor& Batch::weight() const { return slot_->weight; }
std::int64_t Batch::rows() const { return core_->plan().rows().count; }
std::uint64_t Batch::first_position() const { return slot_->first_position; }
std::uint64_t Batch::first_row_position() const { return slot_->first_row_position; }

Loader::Loader(Samples samples, LoaderOptions options)
    : core_(std::make_shared<detail::LoaderCore>(std::move(samples), std::move(options))) {
  core_->start();
}

Loader::~Loader() { core_->stop(); }

Batch Loader::next() { return {core_, core_->next()}; }
bool Loader::finished() const { return core_->plan().past_end(core_->next_ticket()); }
std::uint64_t Loader::position() const { return core_->plan().position_of(core_->next_ticket()); }
std::int64_t Loader::global_batch() const { return core_->plan().global_batch(); }
std::int64_t Loader::batches_per_epoch() const { return ceil_div(core_->plan().samples().count(), global_batch()); }
double Loader::waited_seconds() const { return core_->waited_seconds(); }

}  // namespace trireme
