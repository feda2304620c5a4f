// Instantiates the kernels of rotary.hpp.
#include "core/kernels/rotary.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(Rotary<float>);
TRIREME_LAUNCH_ROWS(Rotary<double>);
TRIREME_LAUNCH_ROWS(Rotary<BFloat16>);
TRIREME_LAUNCH_ROWS(Rotary<Float16>);
}  // namespace trireme
