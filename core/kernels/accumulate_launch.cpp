// Instantiates the kernels of accumulate.hpp.
#include "core/kernels/accumulate.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ELEMENTS(Fill<float>);
TRIREME_LAUNCH_ELEMENTS(Fill<double>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<float>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<double>);
}  // namespace trireme
