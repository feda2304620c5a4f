// Instantiates the kernels of elementwise.hpp.
#include "core/kernels/elementwise.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_MAP_IN(T, F)          \
  TRIREME_LAUNCH_ELEMENTS(Map<T, F>); \
  TRIREME_LAUNCH_ELEMENTS(MapGradient<T, F>)
#define TRIREME_COMBINE_IN(T, F)          \
  TRIREME_LAUNCH_ELEMENTS(Combine<T, F>); \
  TRIREME_LAUNCH_ROWS(CombineRows<T, F>)
#define TRIREME_COMBINE_GRADIENT_IN(T, S)         \
  TRIREME_LAUNCH_ELEMENTS(CombineGradient<T, S>); \
  TRIREME_LAUNCH_ROWS(CombineGradientRows<T, S>)
#define TRIREME_EACH_TYPE(WHAT, F) \
  WHAT(float, F);                  \
  WHAT(double, F);                 \
  WHAT(BFloat16, F);               \
  WHAT(Float16, F)
#define TRIREME_MAP(F) TRIREME_EACH_TYPE(TRIREME_MAP_IN, F)
#define TRIREME_COMBINE(F) TRIREME_EACH_TYPE(TRIREME_COMBINE_IN, F)
#define TRIREME_COMBINE_GRADIENT(S) TRIREME_EACH_TYPE(TRIREME_COMBINE_GRADIENT_IN, S)

TRIREME_MAP(kernels::Exp);
TRIREME_MAP(kernels::Log);
TRIREME_MAP(kernels::Sqrt);
TRIREME_MAP(kernels::Square);
TRIREME_MAP(kernels::Abs);
TRIREME_LAUNCH_ELEMENTS(Map<float, kernels::AddNumber<float>>);
TRIREME_LAUNCH_ELEMENTS(Map<double, kernels::AddNumber<double>>);
TRIREME_LAUNCH_ELEMENTS(Map<BFloat16, kernels::AddNumber<float>>);
TRIREME_LAUNCH_ELEMENTS(Map<Float16, kernels::AddNumber<float>>);
TRIREME_COMBINE(kernels::Add);
TRIREME_COMBINE(kernels::Subtract);
TRIREME_COMBINE(kernels::Multiply);
TRIREME_COMBINE(kernels::Divide);
TRIREME_COMBINE_GRADIENT(kernels::MultiplySlope);
TRIREME_COMBINE_GRADIENT(kernels::DivideSlopeLeft);
TRIREME_COMBINE_GRADIENT(kernels::DivideSlopeRight);

}  // namespace trireme
