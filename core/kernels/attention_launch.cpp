// Instantiates the kernels of attention.hpp.
#include "core/kernels/attention.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(AttentionForward<float>);
TRIREME_LAUNCH_ROWS(AttentionForward<double>);
TRIREME_LAUNCH_ROWS(AttentionDelta<float>);
TRIREME_LAUNCH_ROWS(AttentionDelta<double>);
TRIREME_LAUNCH_ROWS(AttentionQueryGradient<float>);
TRIREME_LAUNCH_ROWS(AttentionQueryGradient<double>);
TRIREME_LAUNCH_ROWS(AttentionKeyGradient<float>);
TRIREME_LAUNCH_ROWS(AttentionKeyGradient<double>);
TRIREME_LAUNCH_ROWS(AttentionAppend<float>);
TRIREME_LAUNCH_ROWS(AttentionAppend<double>);
TRIREME_LAUNCH_ROWS(AttentionAppend<BFloat16>);
TRIREME_LAUNCH_ROWS(AttentionAppend<Float16>);
}  // namespace trireme
