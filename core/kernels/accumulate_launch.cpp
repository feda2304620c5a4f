// Instantiates the kernels of accumulate.hpp.
#include "core/kernels/accumulate.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ELEMENTS(Fill<float>);
TRIREME_LAUNCH_ELEMENTS(Fill<double>);
TRIREME_LAUNCH_ELEMENTS(Fill<BFloat16>);
TRIREME_LAUNCH_ELEMENTS(Fill<Float16>);
TRIREME_LAUNCH_ELEMENTS(Seed<float>);
TRIREME_LAUNCH_ELEMENTS(Seed<double>);
TRIREME_LAUNCH_ELEMENTS(Seed<BFloat16>);
TRIREME_LAUNCH_ELEMENTS(Seed<Float16>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<float>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<double>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<BFloat16>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<Float16>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<BFloat16, float>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<Float16, float>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<float, BFloat16>);
TRIREME_LAUNCH_ELEMENTS(AddScaled<float, Float16>);
}  // namespace trireme
