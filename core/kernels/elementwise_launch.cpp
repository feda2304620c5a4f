// Instantiates the kernels of elementwise.hpp.
#include "core/kernels/elementwise.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_MAP(F)                            \
  TRIREME_LAUNCH_ELEMENTS(Map<float, F>);         \
  TRIREME_LAUNCH_ELEMENTS(Map<double, F>);        \
  TRIREME_LAUNCH_ELEMENTS(MapGradient<float, F>); \
  TRIREME_LAUNCH_ELEMENTS(MapGradient<double, F>)
#define TRIREME_COMBINE(F)                     \
  TRIREME_LAUNCH_ELEMENTS(Combine<float, F>);  \
  TRIREME_LAUNCH_ELEMENTS(Combine<double, F>); \
  TRIREME_LAUNCH_ROWS(CombineRows<float, F>);  \
  TRIREME_LAUNCH_ROWS(CombineRows<double, F>)
#define TRIREME_COMBINE_GRADIENT(S)                    \
  TRIREME_LAUNCH_ELEMENTS(CombineGradient<float, S>);  \
  TRIREME_LAUNCH_ELEMENTS(CombineGradient<double, S>); \
  TRIREME_LAUNCH_ROWS(CombineGradientRows<float, S>);  \
  TRIREME_LAUNCH_ROWS(CombineGradientRows<double, S>)

TRIREME_MAP(kernels::Exp);
TRIREME_MAP(kernels::Log);
TRIREME_MAP(kernels::Sqrt);
TRIREME_MAP(kernels::Square);
TRIREME_MAP(kernels::Abs);
TRIREME_LAUNCH_ELEMENTS(Map<float, kernels::AddNumber<float>>);
TRIREME_LAUNCH_ELEMENTS(Map<double, kernels::AddNumber<double>>);
TRIREME_COMBINE(kernels::Add);
TRIREME_COMBINE(kernels::Subtract);
TRIREME_COMBINE(kernels::Multiply);
TRIREME_COMBINE(kernels::Divide);
TRIREME_COMBINE_GRADIENT(kernels::MultiplySlope);
TRIREME_COMBINE_GRADIENT(kernels::DivideSlopeLeft);
TRIREME_COMBINE_GRADIENT(kernels::DivideSlopeRight);

}  // namespace trireme
