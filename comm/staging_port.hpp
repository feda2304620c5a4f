// A GPU's side of calls that go through host memory: host memory that it reaches, and copies in both directions that
// run beside the computation. A test's port stands for a GPU with ordinary memory.
#pragma once

#include <memory>

#include "core/device/memory.hpp"
#include "core/device/stream.hpp"

namespace trireme {

class StagingPort {
 public:
  virtual ~StagingPort() = default;
  /// The stream whose queued work copies from the device follow.
  virtual const Stream& compute() const = 0;
  virtual std::shared_ptr<Buffer> host_memory(std::size_t bytes) = 0;
  /// Later copies to the host start after all that is queued on compute() so far; those to the device as well.
  virtual void join_compute() = 0;
  virtual void to_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void to_device(void* to, const void* from, std::size_t bytes) = 0;
  /// The end of the copies of one direction so far.
  virtual Event copied_to_host() = 0;
  virtual Event copied_to_device() = 0;

  Device device() const { return compute().device(); }
};

/// With pinned memory and a stream of its own for each direction. `compute` outlives it.
std::shared_ptr<StagingPort> make_staging_port(const Stream& compute);

}  // namespace trireme
