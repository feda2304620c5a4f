// Instantiates Map and MapGradient for the functions of number_functions.hpp.
#include "core/kernels/number_functions.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_NUMBER_FUNCTION_IN(T, F)                 \
  TRIREME_LAUNCH_ELEMENTS(Map<T, kernels::F<Accum<T>>>); \
  TRIREME_LAUNCH_ELEMENTS(MapGradient<T, kernels::F<Accum<T>>>)
#define TRIREME_NUMBER_FUNCTION(F)         \
  TRIREME_NUMBER_FUNCTION_IN(float, F);    \
  TRIREME_NUMBER_FUNCTION_IN(double, F);   \
  TRIREME_NUMBER_FUNCTION_IN(BFloat16, F); \
  TRIREME_NUMBER_FUNCTION_IN(Float16, F)

TRIREME_NUMBER_FUNCTION(LeakyRelu);
TRIREME_NUMBER_FUNCTION(Softplus);
TRIREME_NUMBER_FUNCTION(Power);
TRIREME_NUMBER_FUNCTION(Clamp);

}  // namespace trireme
