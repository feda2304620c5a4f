// Operations that the computing thread itself carries out, piece by piece: started in order, advanced without blocking
// whenever somebody calls progress(), and finished by whoever waits for their event. Waiting for one first finishes all
// that were started before it, so ranks that wait in different orders cannot block each other.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>

#include "core/device/stream.hpp"

namespace trireme {

class Work {
 public:
  virtual ~Work() = default;
  /// Does all that can be done without blocking; true once everything is done. Throws what the operation fails with.
  virtual bool advance() = 0;
  /// Blocks until advance() can do more.
  virtual void block() = 0;
};

class PendingWork : public std::enable_shared_from_this<PendingWork> {
 public:
  /// Queues `work`, advances what can be advanced; the event's wait() does the rest.
  Event submit(std::shared_ptr<Work> work);
  void progress();
  bool empty() const;

 private:
  struct Item {
    std::uint64_t number;
    std::shared_ptr<Work> work;
    std::shared_ptr<Completion> completion;
  };
  void finish(std::uint64_t number);
  bool advance_front();
  void fail_all(const std::exception_ptr& error);

  mutable std::recursive_mutex guard_;  // an operation may wait for an event of another communicator
  std::deque<Item> items_;
  std::uint64_t next_ = 0;
  std::exception_ptr broken_;
};

}  // namespace trireme
