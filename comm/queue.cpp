#include "comm/queue.hpp"

#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "core/base/error.hpp"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto look_time = std::chrono::microseconds(30);
/// While somebody is blocked until an operation is finished. A caller that goes straight on to wait gets `settling` to
/// do so.
constexpr auto short_nap = std::chrono::microseconds(20);
constexpr auto settling = std::chrono::microseconds(120);
/// While the caller computes: each poll takes the core from it for some ten microseconds and what its caches hold. Over
/// a link of 1 Gbit/s communication cost a step of 37 ms 9 ms with naps of 40 us and 5 ms with these two lengths.
constexpr auto long_nap = std::chrono::microseconds(300);

}  // namespace

OperationQueue::OperationQueue(Hooks hooks) : hooks_(std::move(hooks)) {
  std::promise<void> started;
  auto first_done = started.get_future();
  thread_ = std::thread([this, &started] {
    // The default slack of 50 us would double every nap.
    ::prctl(PR_SET_TIMERSLACK, 2000UL, 0UL, 0UL, 0UL);
    try {
      if (hooks_.first) hooks_.first();
    } catch (...) {
      started.set_exception(std::current_exception());
      return;
    }
    started.set_value();
    run();
  });
  try {
    first_done.get();
  } catch (...) {
    thread_.join();
    throw;
  }
}

OperationQueue::~OperationQueue() {
  {
    const std::lock_guard lock(guard_);
    if (state_ == State::open) state_ = State::abandoned;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Event OperationQueue::submit(Start start) {
  auto completion = std::make_shared<Completion>();
  {
    const std::lock_guard lock(guard_);
    require(state_ == State::open, "a communication operation was started after the communication thread was closed");
    queued_.push_back({std::move(start), {}, completion});
    ++unfinished_;
  }
  changed_.notify_all();
  return Event(std::move(completion));
}

void OperationQueue::interrupt(std::function<void()> urgent) {
  {
    const std::lock_guard lock(guard_);
    urgent_.push_back(std::move(urgent));
  }
  changed_.notify_all();
}

void OperationQueue::close() {
  {
    const std::lock_guard lock(guard_);
    if (state_ == State::open) state_ = State::closing;
  }
  changed_.notify_all();
  if (!thread_.joinable()) return;
  thread_.join();
  if (last_error_) std::rethrow_exception(std::exchange(last_error_, nullptr));
}

std::size_t OperationQueue::pending() const {
  const std::lock_guard lock(guard_);
  return unfinished_;
}

void OperationQueue::run() {
  auto quiet_since = Clock::now();
  while (take_new(in_flight_.empty())) {
    const bool started = !starting_.empty();
    start_new();
    if (poll_all() || started) {
      quiet_since = Clock::now();
    } else if (!in_flight_.empty()) {
      pause(Clock::now() - quiet_since);
    }
  }
  abandon_rest();
  const bool closing = [&] {
    const std::lock_guard lock(guard_);
    return state_ == State::closing;
  }();
  try {
    if (closing && hooks_.last) hooks_.last();
  } catch (...) {
    last_error_ = std::current_exception();
  }
}

/// Moves what was queued to the thread's own lists; sleeps first when there is nothing to poll. False: time to stop.
bool OperationQueue::take_new(bool idle) {
  std::unique_lock lock(guard_);
  if (idle) {
    changed_.wait(lock, [&] { return !queued_.empty() || !urgent_.empty() || state_ != State::open; });
  }
  while (!urgent_.empty()) {
    const auto urgent = std::move(urgent_.front());
    urgent_.pop_front();
    lock.unlock();
    urgent();
    lock.lock();
  }
  if (state_ == State::abandoned) return false;
  starting_.swap(queued_);
  return state_ == State::open || !starting_.empty() || !in_flight_.empty();
}

void OperationQueue::start_new() {
  for (auto& operation : starting_) {
    try {
      operation.poll = operation.start();
      if (!operation.poll) operation.poll = [] { return true; };
    } catch (...) {
      operation.poll = [error = std::current_exception()]() -> bool { std::rethrow_exception(error); };
    }
    operation.start = nullptr;
    in_flight_.push_back(std::move(operation));
  }
  starting_.clear();
}

/// True when an operation came to its end.
bool OperationQueue::poll_all() {
  bool progress = false;
  for (auto it = in_flight_.begin(); it != in_flight_.end();) {
    std::exception_ptr error;
    bool done = true;
    try {
      done = it->poll();
    } catch (...) {
      error = std::current_exception();
    }
    if (!done) {
      ++it;
      continue;
    }
    const auto completion = it->completion;
    it = in_flight_.erase(it);  // before the waiter goes on: it may count on the operation's tensors being released
    {
      const std::lock_guard lock(guard_);
      --unfinished_;
    }
    if (error)
      completion->fail(error);
    else
      completion->finish();
    progress = true;
  }
  return progress;
}

void OperationQueue::pause(std::chrono::nanoseconds quiet) {
  const bool awaited = std::any_of(in_flight_.begin(), in_flight_.end(),
                                   [](const Operation& operation) { return operation.completion->awaited(); });
  if (awaited && quiet <= look_time) return;
  std::unique_lock lock(guard_);
  changed_.wait_for(lock, awaited || quiet < settling ? short_nap : long_nap,
                    [&] { return !queued_.empty() || !urgent_.empty() || state_ == State::abandoned; });
}

void OperationQueue::abandon_rest() {
  {
    const std::lock_guard lock(guard_);
    starting_.swap(queued_);
    unfinished_ = 0;
  }
  const auto error = std::make_exception_ptr(
      Error("the communication thread was stopped before this operation was finished", ExitCode::peer_lost));
  for (auto& operation : in_flight_) operation.completion->fail(error);
  for (auto& operation : starting_) operation.completion->fail(error);
  starting_.clear();
  in_flight_.clear();
}

}  // namespace trireme
