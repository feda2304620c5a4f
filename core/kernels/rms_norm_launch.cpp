// Instantiates the kernels of rms_norm.hpp.
#include "core/kernels/rms_norm.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(RmsNormForward<float>);
TRIREME_LAUNCH_ROWS(RmsNormForward<double>);
TRIREME_LAUNCH_ROWS(RmsNormForward<BFloat16>);
TRIREME_LAUNCH_ROWS(RmsNormForward<Float16>);
TRIREME_LAUNCH_ROWS(RmsNormInputGradient<float>);
TRIREME_LAUNCH_ROWS(RmsNormInputGradient<double>);
TRIREME_LAUNCH_ROWS(RmsNormInputGradient<BFloat16>);
TRIREME_LAUNCH_ROWS(RmsNormInputGradient<Float16>);
TRIREME_LAUNCH_COLUMNS(RmsNormGainGradient<float>);
TRIREME_LAUNCH_COLUMNS(RmsNormGainGradient<double>);
TRIREME_LAUNCH_COLUMNS(RmsNormGainGradient<BFloat16>);
TRIREME_LAUNCH_COLUMNS(RmsNormGainGradient<Float16>);
}  // namespace trireme
