// Instantiates the kernels of dropout.hpp.
#include "core/kernels/dropout.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(Dropout<float>);
TRIREME_LAUNCH_ROWS(Dropout<double>);
TRIREME_LAUNCH_ROWS(Dropout<BFloat16>);
TRIREME_LAUNCH_ROWS(Dropout<Float16>);
}  // namespace trireme
