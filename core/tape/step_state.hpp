// Numbers of the running step that kernels read by pointer from the device, so that a recorded sequence of launches can
// be replayed with new values, and nothing has to come back to the host in between.
#pragma once

#include <cstdint>

namespace trireme {

struct StepState {
  std::int64_t step = 0;          ///< Optimizer steps done before this one.
  double rate = 0;                ///< Learning rate of this step.
  double gradient_scale = 1;      ///< Applied to every gradient by the optimizer: clip factor x nominal / exact count.
  double loss_scale = 1;          ///< Backward begins with this times its seed; gradient_scale takes it out again.
  std::uint32_t skip = 0;         ///< Not 0: the optimizer leaves everything as it is.
  std::uint64_t random_seed = 0;  ///< Key of dropout and other draws.
};

}  // namespace trireme
