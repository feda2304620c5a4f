// Instantiates the kernels of cross_entropy.hpp.
#include "core/kernels/cross_entropy.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(CrossEntropyForward<float>);
TRIREME_LAUNCH_ROWS(CrossEntropyForward<double>);
TRIREME_LAUNCH_ROWS(CrossEntropyFinish<float>);
TRIREME_LAUNCH_ROWS(CrossEntropyFinish<double>);
TRIREME_LAUNCH_ROWS(CrossEntropyGradient<float>);
TRIREME_LAUNCH_ROWS(CrossEntropyGradient<double>);
}  // namespace trireme
