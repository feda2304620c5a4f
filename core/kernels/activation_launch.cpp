// Instantiates the kernels of activation.hpp.
#include "core/kernels/activation.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_ACTIVATION_IN(T, F)   \
  TRIREME_LAUNCH_ELEMENTS(Map<T, F>); \
  TRIREME_LAUNCH_ELEMENTS(MapGradient<T, F>)
#define TRIREME_ACTIVATION(F)         \
  TRIREME_ACTIVATION_IN(float, F);    \
  TRIREME_ACTIVATION_IN(double, F);   \
  TRIREME_ACTIVATION_IN(BFloat16, F); \
  TRIREME_ACTIVATION_IN(Float16, F)

TRIREME_ACTIVATION(kernels::Relu);
TRIREME_ACTIVATION(kernels::GeluErf);
TRIREME_ACTIVATION(kernels::GeluTanh);
TRIREME_ACTIVATION(kernels::Tanh);
TRIREME_ACTIVATION(kernels::Sigmoid);
TRIREME_ACTIVATION(kernels::Silu);

}  // namespace trireme
