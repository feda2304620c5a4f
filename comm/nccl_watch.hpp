// A thread that looks at NCCL channels while the computing thread is elsewhere: blocked in the driver by a kernel whose
// partner is gone, it could not look itself. Aborting the channel from here lets the driver return.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace trireme::nccl {

class Channel;

class Watch {
 public:
  Watch();
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  void add(const std::shared_ptr<Channel>& channel);

 private:
  void run();

  std::mutex guard_;
  std::condition_variable changed_;
  std::vector<std::weak_ptr<Channel>> channels_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace trireme::nccl
