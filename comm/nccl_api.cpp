#include "comm/nccl_api.hpp"

#include <thread>
#include <utility>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"

namespace trireme::nccl {

std::string_view name_of(Status status) {
  constexpr std::string_view names[] = {"ncclSuccess",       "ncclUnhandledCudaError", "ncclSystemError",
                                        "ncclInternalError", "ncclInvalidArgument",    "ncclInvalidUsage",
                                        "ncclRemoteError",   "ncclInProgress"};
  const auto k = static_cast<std::size_t>(status);
  return k < std::size(names) ? names[k] : "an unknown ncclResult_t";
}

namespace {

class StreamMark final : public Mark {
 public:
  explicit StreamMark(const Stream& stream) : watched_(stream.record()), given_(stream.record()) {}
  bool done() override { return watched_.done(); }
  Event event(std::shared_ptr<Completion> completion) override {
    return std::move(given_).through(std::move(completion));
  }

 private:
  Event watched_, given_;
};

class StreamQueue final : public Queue {
 public:
  explicit StreamQueue(const Stream& compute) : compute_(compute), stream_(compute.device()) {}
  const Stream& stream() const override { return stream_; }
  const Stream& compute() const override { return compute_; }
  void join_compute() override {
    // NCCL could be recorded too, but not the marks by which errors and ends are seen.
    require(!stream_.device().is_cuda() || !cuda::capturing(compute_.native()),
            "a call on {} was made while the computing stream records a CUDA graph; make it before or after the replay",
            stream_.device().name());
    stream_.wait(compute_.record());
  }
  std::unique_ptr<Mark> mark() override { return std::make_unique<StreamMark>(stream_); }

 private:
  const Stream& compute_;
  Stream stream_;
};

class SteadyClock final : public Clock {
 public:
  Time now() override { return std::chrono::steady_clock::now(); }
  void pause() override { std::this_thread::sleep_for(std::chrono::microseconds(50)); }
};

}  // namespace

std::shared_ptr<Queue> make_queue(const Stream& compute) { return std::make_shared<StreamQueue>(compute); }
std::shared_ptr<Clock> make_clock() { return std::make_shared<SteadyClock>(); }

}  // namespace trireme::nccl
