// Instantiates the kernels of activation.hpp.
#include "core/kernels/activation.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_ACTIVATION(F)                     \
  TRIREME_LAUNCH_ELEMENTS(Map<float, F>);         \
  TRIREME_LAUNCH_ELEMENTS(Map<double, F>);        \
  TRIREME_LAUNCH_ELEMENTS(MapGradient<float, F>); \
  TRIREME_LAUNCH_ELEMENTS(MapGradient<double, F>)

TRIREME_ACTIVATION(kernels::Relu);
TRIREME_ACTIVATION(kernels::GeluErf);
TRIREME_ACTIVATION(kernels::GeluTanh);
TRIREME_ACTIVATION(kernels::Tanh);
TRIREME_ACTIVATION(kernels::Sigmoid);
TRIREME_ACTIVATION(kernels::Silu);

}  // namespace trireme
