// Instantiates the kernels of layer_norm.hpp.
#include "core/kernels/layer_norm.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(LayerNormForward<float>);
TRIREME_LAUNCH_ROWS(LayerNormForward<double>);
TRIREME_LAUNCH_ROWS(LayerNormForward<BFloat16>);
TRIREME_LAUNCH_ROWS(LayerNormForward<Float16>);
TRIREME_LAUNCH_ROWS(LayerNormInputGradient<float>);
TRIREME_LAUNCH_ROWS(LayerNormInputGradient<double>);
TRIREME_LAUNCH_ROWS(LayerNormInputGradient<BFloat16>);
TRIREME_LAUNCH_ROWS(LayerNormInputGradient<Float16>);
TRIREME_LAUNCH_COLUMNS(LayerNormParameterGradient<float>);
TRIREME_LAUNCH_COLUMNS(LayerNormParameterGradient<double>);
TRIREME_LAUNCH_COLUMNS(LayerNormParameterGradient<BFloat16>);
TRIREME_LAUNCH_COLUMNS(LayerNormParameterGradient<Float16>);
}  // namespace trireme
