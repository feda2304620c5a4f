#include "comm/nccl_watch.hpp"

#include <chrono>

#include "comm/nccl_channel.hpp"

namespace trireme::nccl {
namespace {
/// Often enough that finished calls give their memory back soon; each look costs some microseconds.
constexpr auto interval = std::chrono::milliseconds(20);
}  // namespace

Watch::Watch() : thread_([this] { run(); }) {}

Watch::~Watch() {
  {
    const std::lock_guard lock(guard_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watch::add(const std::shared_ptr<Channel>& channel) {
  const std::lock_guard lock(guard_);
  channels_.push_back(channel);
}

void Watch::run() {
  std::unique_lock lock(guard_);
  while (!changed_.wait_for(lock, interval, [this] { return ending_; })) {
    std::erase_if(channels_, [](const auto& channel) { return channel.expired(); });
    const auto watched = channels_;
    lock.unlock();
    for (const auto& weak : watched) {
      if (const auto channel = weak.lock()) channel->watch();
    }
    lock.lock();
  }
}

}  // namespace trireme::nccl
