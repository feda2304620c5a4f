// Instantiates the kernels of softmax.hpp.
#include "core/kernels/softmax.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(SoftmaxForward<float>);
TRIREME_LAUNCH_ROWS(SoftmaxForward<double>);
TRIREME_LAUNCH_ROWS(SoftmaxForward<BFloat16>);
TRIREME_LAUNCH_ROWS(SoftmaxForward<Float16>);
TRIREME_LAUNCH_ROWS(LogSoftmaxForward<float>);
TRIREME_LAUNCH_ROWS(LogSoftmaxForward<double>);
TRIREME_LAUNCH_ROWS(LogSoftmaxForward<BFloat16>);
TRIREME_LAUNCH_ROWS(LogSoftmaxForward<Float16>);
TRIREME_LAUNCH_ROWS(SoftmaxGradient<float>);
TRIREME_LAUNCH_ROWS(SoftmaxGradient<double>);
TRIREME_LAUNCH_ROWS(SoftmaxGradient<BFloat16>);
TRIREME_LAUNCH_ROWS(SoftmaxGradient<Float16>);
TRIREME_LAUNCH_ROWS(LogSoftmaxGradient<float>);
TRIREME_LAUNCH_ROWS(LogSoftmaxGradient<double>);
TRIREME_LAUNCH_ROWS(LogSoftmaxGradient<BFloat16>);
TRIREME_LAUNCH_ROWS(LogSoftmaxGradient<Float16>);
}  // namespace trireme
