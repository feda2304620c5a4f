// Instantiates the kernels of cross_entropy.hpp.
#include "core/kernels/cross_entropy.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(CrossEntropyForward<float>);
TRIREME_LAUNCH_ROWS(CrossEntropyForward<double>);
TRIREME_LAUNCH_ROWS(CrossEntropyForward<BFloat16>);
TRIREME_LAUNCH_ROWS(CrossEntropyForward<Float16>);
TRIREME_LAUNCH_ROWS(CrossEntropyFinish<float>);
TRIREME_LAUNCH_ROWS(CrossEntropyFinish<double>);
TRIREME_LAUNCH_ROWS(CrossEntropyGradient<float>);
TRIREME_LAUNCH_ROWS(CrossEntropyGradient<double>);
TRIREME_LAUNCH_ROWS(CrossEntropyGradient<BFloat16>);
TRIREME_LAUNCH_ROWS(CrossEntropyGradient<Float16>);
}  // namespace trireme
