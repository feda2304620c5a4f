// Work done by threads and taken back in the order it was given, so that what comes of it does not depend on how many
// threads there are. As much is under way as keeps the threads busy, no more.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace trireme {

template <class Job>
class OrderedWork {
 public:
  using Work = std::function<void(Job&)>;

  /// One thread for each of `works`; `take` gets each finished job, on the thread that calls give() and finish().
  OrderedWork(std::vector<Work> works, Work take) : take_(std::move(take)), most_(works.size() * 4) {
    for (auto& work : works) threads_.emplace_back([this, run = std::move(work)] { serve(run); });
  }
  ~OrderedWork() {
    {
      const std::lock_guard lock(guard_);
      stop_ = true;
    }
    came_.notify_all();
    threads_.clear();
  }
  OrderedWork(const OrderedWork&) = delete;
  OrderedWork& operator=(const OrderedWork&) = delete;

  /// Throws what a job before this one threw.
  void give(Job job) {
    {
      const std::lock_guard lock(guard_);
      all_.push_back(std::make_unique<Entry>(Entry{std::move(job)}));
      waiting_.push_back(all_.back().get());
    }
    came_.notify_one();
    while (all_.size() >= most_) take_first();
  }
  /// Takes back all that is left.
  void finish() {
    while (!all_.empty()) take_first();
  }

 private:
  struct Entry {
    Job job;
    std::exception_ptr error = nullptr;
    bool done = false;
  };

  void take_first() {
    std::unique_lock lock(guard_);
    done_.wait(lock, [&] { return all_.front()->done; });
    lock.unlock();
    const std::unique_ptr<Entry> first = std::move(all_.front());
    all_.pop_front();
    if (first->error) std::rethrow_exception(first->error);
    take_(first->job);
  }

  void serve(const Work& work) {
    std::unique_lock lock(guard_);
    for (;;) {
      came_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
      if (stop_) return;
      Entry* const entry = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      try {
        work(entry->job);
      } catch (...) {
        entry->error = std::current_exception();
      }
      lock.lock();
      entry->done = true;
      done_.notify_one();
    }
  }

  Work take_;
  std::size_t most_;
  std::mutex guard_;
  std::condition_variable came_, done_;
  std::deque<std::unique_ptr<Entry>> all_;  // changed by the caller's thread alone
  std::deque<Entry*> waiting_;
  bool stop_ = false;
  std::vector<std::jthread> threads_;  // last: joined before anything they use goes
};

}  // namespace trireme
