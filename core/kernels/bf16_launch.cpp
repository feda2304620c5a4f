// Instantiates kernels for bfloat16 storage, whose arithmetic is done in f32.
#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch_impl.hpp"
#include "core/kernels/layer_norm.hpp"
#include "core/kernels/softmax.hpp"

namespace trireme {
TRIREME_LAUNCH_ELEMENTS(Fill<BFloat16>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<BFloat16>);
TRIREME_LAUNCH_ROWS(LayerNormForward<BFloat16>);
TRIREME_LAUNCH_ROWS(LayerNormInputGradient<BFloat16>);
TRIREME_LAUNCH_COLUMNS(LayerNormParameterGradient<BFloat16>);
TRIREME_LAUNCH_ROWS(SoftmaxForward<BFloat16>);
TRIREME_LAUNCH_ROWS(SoftmaxGradient<BFloat16>);
}  // namespace trireme
