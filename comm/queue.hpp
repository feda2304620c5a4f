// One thread that runs asynchronous operations in the order they were given. An operation is started once and then
// polled until it is finished; several may be in flight, so a send queued behind a receive still leaves. Between polls
// the thread sleeps in naps: short ones while somebody is blocked until an operation is finished, else long ones, so
// that waiting for a peer does not take the core from the thread that computes. Knows nothing about what the operations
// do.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "core/device/stream.hpp"

namespace trireme {

class OperationQueue {
 public:
  /// True once the operation is finished; throws what it failed with. Must not block.
  using Poll = std::function<bool()>;
  /// Starts an operation without blocking; an empty Poll means that it is finished already.
  using Start = std::function<Poll()>;
  struct Hooks {
    std::function<void()> first = {};  // run on the thread before anything else; its error leaves the constructor
    std::function<void()> last = {};   // run on the thread by close()
  };

  OperationQueue() : OperationQueue(Hooks{}) {}
  explicit OperationQueue(Hooks hooks);
  /// Without close(): operations that are not finished fail, `last` is not run. Never waits for a peer.
  ~OperationQueue();
  OperationQueue(const OperationQueue&) = delete;
  OperationQueue& operator=(const OperationQueue&) = delete;

  /// Queues an operation; any thread. The event throws the operation's error. Throws after close().
  Event submit(Start start);
  /// Runs `urgent` on the thread as soon as it comes round, before anything queued.
  void interrupt(std::function<void()> urgent);
  /// Finishes everything queued, runs `last`, ends the thread. Throws the error of `last`. A second call does nothing.
  void close();
  /// Operations queued or in flight.
  std::size_t pending() const;

 private:
  struct Operation {
    Start start;
    Poll poll;
    std::shared_ptr<Completion> completion;
  };
  enum class State { open, closing, abandoned };

  void run();
  bool take_new(bool idle);
  void start_new();
  bool poll_all();
  void pause(std::chrono::nanoseconds quiet);
  void abandon_rest();

  mutable std::mutex guard_;
  std::condition_variable changed_;
  std::deque<Operation> queued_;
  std::deque<std::function<void()>> urgent_;
  State state_ = State::open;
  std::size_t unfinished_ = 0;
  std::deque<Operation> starting_;  // the thread's own
  std::list<Operation> in_flight_;  // the thread's own
  Hooks hooks_;
  std::exception_ptr last_error_;
  std::thread thread_;
};

}  // namespace trireme
