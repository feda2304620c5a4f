#include "datasets/loader_core.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>

#include "core/base/checked.hpp"
#include "core/base/profile.hpp"

namespace trireme::detail {

LoaderCore::LoaderCore(Samples samples, LoaderOptions options, Allocator& memory)
    : plan_(std::move(samples), std::move(options)) {
  const LoaderOptions& o = plan_.options();
  const int count = o.threads == 0 ? o.held : o.depth + o.held;
  for (int i = 0; i < count; ++i) {
    slots_.push_back(plan_.make_slot(memory));
    free_.push_back(&slots_.back());
  }
  ready_.resize(slots_.size());
  for (int i = 0; i < std::max(o.threads, 1); ++i) fillers_.emplace_back(plan_);
}

void LoaderCore::start() {
  try {
    for (int i = 0; i < plan_.options().threads; ++i) threads_.emplace_back([this, i] { work(fillers_[to_size(i)]); });
  } catch (...) {
    stop();  // the system gave only some of the threads
    throw;
  }
}

void LoaderCore::stop() noexcept {
  {
    const std::lock_guard lock(guard_);
    stop_.store(true, std::memory_order_relaxed);
  }
  work_wanted_.notify_all();
  threads_.clear();
}

LoaderSlot* LoaderCore::next() {
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

void LoaderCore::give_back(LoaderSlot* slot) noexcept {
  const ProfileSpan span("give batch back", ProfileSpan::Kind::data);
  {
    const std::lock_guard lock(guard_);
    free_.push_back(slot);
    --held_;
  }
  work_wanted_.notify_one();
}

std::uint64_t LoaderCore::next_ticket() const {
  const std::lock_guard lock(guard_);
  return delivered_;
}

double LoaderCore::waited_seconds() const {
  const std::lock_guard lock(guard_);
  return waited_seconds_;
}

void LoaderCore::check_can_deliver() const {
  if (error_) std::rethrow_exception(error_);
  require(!plan_.past_end(delivered_), "the evaluation has no batch left: ask finished() first");
  require(held_ < plan_.options().held,
          "{} batches of the loader are held: let one go before the next, or raise LoaderOptions::held", held_);
}

/// Looks out for the next batch for as long as going to sleep and being woken would take.
void LoaderCore::expect_ready() const {
  const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
  while (!front_ready_.load(std::memory_order_relaxed) && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();  // the one we wait for may need this very core
}

LoaderSlot* LoaderCore::fill_inline() {
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

LoaderSlot* LoaderCore::wait_for_ready(std::unique_lock<std::mutex>& lock) {
  ready_came_.wait(lock, [&] { return front().slot != nullptr; });
  const Outcome outcome = front();
  if (outcome.error) {
    error_ = outcome.error;
    std::rethrow_exception(error_);
  }
  front() = {};
  return outcome.slot;
}

void LoaderCore::work(BatchFiller& filler) {
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

}  // namespace trireme::detail
