#include "comm/staging_port.hpp"

#include <cstring>

#include "core/device/cuda.hpp"
#include "core/device/pinned.hpp"

namespace trireme {
namespace {

class StreamPort final : public StagingPort {
 public:
  explicit StreamPort(const Stream& compute) : compute_(compute), out_(compute.device()), in_(compute.device()) {}

  const Stream& compute() const override { return compute_; }
  std::shared_ptr<Buffer> host_memory(std::size_t bytes) override {
    return staging_allocator(compute_.device()).allocate(bytes);
  }
  void join_compute() override {
    const Event computed = compute_.record();
    out_.wait(computed);
    in_.wait(computed);
  }
  void to_host(void* to, const void* from, std::size_t bytes) override { copy(out_, to, {from, bytes}); }
  void to_device(void* to, const void* from, std::size_t bytes) override { copy(in_, to, {from, bytes}); }
  Event copied_to_host() override { return out_.record(); }
  Event copied_to_device() override { return in_.record(); }

 private:
  struct Source {
    const void* data;
    std::size_t bytes;
  };
  static void copy(const Stream& stream, void* to, const Source& from) {
    if (stream.device().is_cuda()) return cuda::copy_async(to, from.data, from.bytes, stream.native());
    std::memcpy(to, from.data, from.bytes);
  }

  const Stream& compute_;
  Stream out_, in_;
};

}  // namespace

std::shared_ptr<StagingPort> make_staging_port(const Stream& compute) { return std::make_shared<StreamPort>(compute); }

}  // namespace trireme
