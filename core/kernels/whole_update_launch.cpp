// Instantiates the kernels of whole_update.hpp.
#include "core/kernels/whole_update.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_WHOLE_UPDATE(A)                   \
  TRIREME_LAUNCH_ELEMENTS(LambDirection<A>);      \
  TRIREME_LAUNCH_ROWS(AdafactorRows<A>);          \
  TRIREME_LAUNCH_ELEMENTS(AdafactorColumns<A>);   \
  TRIREME_LAUNCH_ROWS(AdafactorMean<A>);          \
  TRIREME_LAUNCH_ELEMENTS(AdafactorDirection<A>); \
  TRIREME_LAUNCH_ELEMENTS(MuonMoment<A>);         \
  TRIREME_LAUNCH_ROWS(FindPace<A>);               \
  TRIREME_LAUNCH_ELEMENTS(ScaleBy<A>);            \
  TRIREME_LAUNCH_ELEMENTS(AverageWeights<A>)

TRIREME_WHOLE_UPDATE(float);
TRIREME_WHOLE_UPDATE(double);
TRIREME_LAUNCH_ELEMENTS(ScaledGradient<float, float>);
TRIREME_LAUNCH_ELEMENTS(ScaledGradient<double, double>);
TRIREME_LAUNCH_ELEMENTS(ScaledGradient<float, BFloat16>);
TRIREME_LAUNCH_ELEMENTS(ScaledGradient<float, Float16>);
TRIREME_LAUNCH_ELEMENTS(ApplyDirection<float>);
TRIREME_LAUNCH_ELEMENTS(ApplyDirection<double>);
TRIREME_LAUNCH_ELEMENTS(ApplyDirection<BFloat16>);
TRIREME_LAUNCH_ELEMENTS(ApplyDirection<Float16>);

}  // namespace trireme
