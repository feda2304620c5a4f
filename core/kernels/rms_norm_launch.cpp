// Instantiates the kernels of rms_norm.hpp.
#include "core/kernels/rms_norm.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(RmsNormForward<float>);
TRIREME_LAUNCH_ROWS(RmsNormForward<double>);
TRIREME_LAUNCH_ROWS(RmsNormInputGradient<float>);
TRIREME_LAUNCH_ROWS(RmsNormInputGradient<double>);
TRIREME_LAUNCH_COLUMNS(RmsNormGainGradient<float>);
TRIREME_LAUNCH_COLUMNS(RmsNormGainGradient<double>);
}  // namespace trireme
