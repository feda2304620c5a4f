// Order of work on a device. On a GPU a Stream queues work and an Event marks a point in a queue. On the CPU a stream
// runs at once, and an Event is a completion flag that another thread sets and whose wait blocks.
#pragma once

#include <exception>
#include <functional>
#include <memory>

#include "core/device/device.hpp"
#include "core/device/handle.hpp"

namespace trireme {

namespace detail {
void destroy_cuda_stream(void* stream);
void destroy_cuda_event(void* event);
}  // namespace detail

/// The two ends of an asynchronous host operation: the worker calls finish() or fail() once, waiters hold an Event.
class Completion {
 public:
  void finish();
  /// The error is thrown again by every wait().
  void fail(std::exception_ptr error);
  bool done() const;
  /// Whether a thread is blocked in wait() just now: a worker may then hurry.
  bool awaited() const;
  /// Blocks until finish() or fail(). A completion with a helper lets the waiter do the work itself.
  void wait();
  /// `help` is run by a waiter; it must finish the operation before it returns.
  void set_helper(std::function<void()> help);

 private:
  struct State;
  std::shared_ptr<State> state() const;
  mutable std::shared_ptr<State> state_;

 public:
  Completion();
};

/// A point in a stream's work, or the end of a host operation. A default Event has already happened. Move-only.
class Event {
 public:
  Event() = default;
  explicit Event(std::shared_ptr<Completion> completion) : completion_(std::move(completion)) {}
  Event(Event&&) = default;
  Event& operator=(Event&&) = default;

  /// The same point for streams; done() and wait() on the host ask `completion`, which knows more than the device does
  /// (failures elsewhere, time limits).
  Event through(std::shared_ptr<Completion> completion) &&;

  bool done() const;
  /// Blocks the calling thread; throws what the operation failed with.
  void wait() const;
  /// Null for a point in a stream and for an event that has already happened.
  const std::shared_ptr<Completion>& completion() const { return completion_; }

 private:
  friend class Stream;
  std::shared_ptr<Completion> completion_;
  Handle<void*, detail::destroy_cuda_event> cuda_;
};

class Stream {
 public:
  explicit Stream(Device device = Device::cpu());

  Device device() const { return device_; }
  /// The cudaStream_t of a GPU stream, else null.
  void* native() const { return cuda_.get(); }
  /// Marks the end of everything queued so far.
  Event record() const;
  /// Later work of this stream starts after `event`.
  void wait(const Event& event) const;
  /// Blocks until all queued work is done.
  void synchronize() const;

 private:
  Device device_;
  Handle<void*, detail::destroy_cuda_stream> cuda_;
};

}  // namespace trireme
