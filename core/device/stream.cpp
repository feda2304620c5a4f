#include "core/device/stream.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "core/base/activity.hpp"
#include "core/device/cuda.hpp"

namespace trireme {

struct Completion::State {
  std::mutex guard;
  std::condition_variable changed;
  bool done = false;
  std::exception_ptr error;
  std::function<void()> help;
  std::atomic<int> waiters{0};
};

Completion::Completion() : state_(std::make_shared<State>()) {}

std::shared_ptr<Completion::State> Completion::state() const { return state_; }

void Completion::finish() { fail(nullptr); }

void Completion::fail(std::exception_ptr error) {
  const auto s = state();
  {
    const std::lock_guard lock(s->guard);
    s->done = true;
    s->error = std::move(error);
  }
  s->changed.notify_all();
}

bool Completion::done() const {
  const std::lock_guard lock(state_->guard);
  return state_->done;
}

void Completion::wait() {
  const auto s = state();
  std::unique_lock lock(s->guard);
  if (!s->done && s->help) {
    const auto help = std::exchange(s->help, nullptr);
    lock.unlock();
    try {
      const WaitMark mark;
      help();
      fail(nullptr);
    } catch (...) {
      fail(std::current_exception());
    }
    lock.lock();
  }
  if (!s->done) {
    const WaitMark mark;
    ++s->waiters;
    s->changed.wait(lock, [&] { return s->done; });
    --s->waiters;
  }
  if (s->error) std::rethrow_exception(s->error);
}

bool Completion::awaited() const { return state_->waiters.load(std::memory_order_relaxed) > 0; }

void Completion::set_helper(std::function<void()> help) {
  const std::lock_guard lock(state_->guard);
  state_->help = std::move(help);
}

Event Event::through(std::shared_ptr<Completion> completion) && {
  completion_ = std::move(completion);
  return std::move(*this);
}

bool Event::done() const {
  if (completion_) return completion_->done();
  return !cuda_ || cuda::event_done(cuda_.get());
}

void Event::wait() const {
  if (completion_) return completion_->wait();
  if (cuda_) cuda::wait_event(cuda_.get());
}

Stream::Stream(Device device) : device_(device) {
  if (device.is_cuda()) cuda_ = Handle<void*, detail::destroy_cuda_stream>(cuda::create_stream(device.index));
}

Event Stream::record() const {
  Event event;
  if (cuda_) event.cuda_ = Handle<void*, detail::destroy_cuda_event>(cuda::record_event(cuda_.get()));
  return event;
}

void Stream::wait(const Event& event) const {
  if (cuda_ && event.cuda_) return cuda::stream_wait(cuda_.get(), event.cuda_.get());
  event.wait();
}

void Stream::synchronize() const {
  if (cuda_) cuda::synchronize_stream(cuda_.get());
}

}  // namespace trireme
