// Instantiates the kernels of gated.hpp.
#include "core/kernels/gated.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(GatedSilu<float>);
TRIREME_LAUNCH_ROWS(GatedSilu<double>);
TRIREME_LAUNCH_ROWS(GatedSiluGradient<float>);
TRIREME_LAUNCH_ROWS(GatedSiluGradient<double>);
}  // namespace trireme
