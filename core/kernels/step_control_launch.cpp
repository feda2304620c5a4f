// Instantiates the kernels of step_control.hpp.
#include "core/kernels/step_control.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(BeginStep);
TRIREME_LAUNCH_ROWS(AddLoss<float>);
TRIREME_LAUNCH_ROWS(AddLoss<double>);
TRIREME_LAUNCH_ROWS(AddNorm);
TRIREME_LAUNCH_ROWS(DecideStep);
TRIREME_LAUNCH_ROWS(SkipStep);
}  // namespace trireme
