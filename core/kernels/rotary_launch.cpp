// Instantiates the kernels of rotary.hpp.
#include "core/kernels/rotary.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(Rotary<float>);
TRIREME_LAUNCH_ROWS(Rotary<double>);
}  // namespace trireme
