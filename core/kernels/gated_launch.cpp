// Instantiates the kernels of gated.hpp.
#include "core/kernels/gated.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(GatedSilu<float>);
TRIREME_LAUNCH_ROWS(GatedSilu<double>);
TRIREME_LAUNCH_ROWS(GatedSilu<BFloat16>);
TRIREME_LAUNCH_ROWS(GatedSilu<Float16>);
TRIREME_LAUNCH_ROWS(GatedSiluGradient<float>);
TRIREME_LAUNCH_ROWS(GatedSiluGradient<double>);
TRIREME_LAUNCH_ROWS(GatedSiluGradient<BFloat16>);
TRIREME_LAUNCH_ROWS(GatedSiluGradient<Float16>);
}  // namespace trireme
