#include "comm/pending_work.hpp"

#include <utility>

#include "core/base/error.hpp"

namespace trireme {

Event PendingWork::submit(std::shared_ptr<Work> work) {
  const std::lock_guard lock(guard_);
  // After a failure the ranks no longer stand at the same operation; nothing later can be trusted.
  if (broken_) std::rethrow_exception(broken_);
  progress();
  if (broken_) std::rethrow_exception(broken_);
  if (items_.empty()) {
    // Before anything else is set up: the others wait for what the first stage says.
    try {
      if (work->advance()) return {};
    } catch (...) {
      broken_ = std::current_exception();
      throw;
    }
  }
  auto completion = std::make_shared<Completion>();
  const auto number = next_++;
  completion->set_helper([number, self = weak_from_this()] {
    const auto pending = self.lock();
    if (!pending) fail(ExitCode::failure, "a communication operation was waited for after its communicator was gone");
    pending->finish(number);
  });
  items_.push_back({number, std::move(work), completion});
  return Event(std::move(completion));
}

void PendingWork::progress() {
  const std::lock_guard lock(guard_);
  while (!items_.empty() && advance_front()) {
  }
}

bool PendingWork::empty() const {
  const std::lock_guard lock(guard_);
  return items_.empty();
}

void PendingWork::finish(std::uint64_t number) {
  const std::lock_guard lock(guard_);
  while (!items_.empty() && items_.front().number <= number) {
    if (advance_front()) continue;
    if (items_.empty()) break;
    try {
      items_.front().work->block();
    } catch (...) {
      fail_all(std::current_exception());
    }
  }
  if (broken_) std::rethrow_exception(broken_);
}

/// True when the front came to its end.
bool PendingWork::advance_front() {
  const Item item = items_.front();
  try {
    if (!item.work->advance()) return false;
  } catch (...) {
    fail_all(std::current_exception());
    return false;
  }
  items_.pop_front();
  item.completion->set_helper(nullptr);
  item.completion->finish();
  return true;
}

void PendingWork::fail_all(const std::exception_ptr& error) {
  broken_ = error;
  for (const auto& item : items_) {
    item.completion->set_helper(nullptr);
    item.completion->fail(error);
  }
  items_.clear();
}

}  // namespace trireme
