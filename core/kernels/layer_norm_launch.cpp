// Instantiates the kernels of layer_norm.hpp.
#include "core/kernels/layer_norm.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(LayerNormForward<float>);
TRIREME_LAUNCH_ROWS(LayerNormForward<double>);
TRIREME_LAUNCH_ROWS(LayerNormInputGradient<float>);
TRIREME_LAUNCH_ROWS(LayerNormInputGradient<double>);
TRIREME_LAUNCH_COLUMNS(LayerNormParameterGradient<float>);
TRIREME_LAUNCH_COLUMNS(LayerNormParameterGradient<double>);
}  // namespace trireme
