// Instantiates the kernels of losses.hpp and ctc.hpp.
#include "core/kernels/losses.hpp"

#include "core/kernels/ctc.hpp"
#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_POINT_LOSS(T, F)                           \
  TRIREME_LAUNCH_ROWS(PointLoss<T, kernels::F<Accum<T>>>); \
  TRIREME_LAUNCH_ROWS(PointLossGradient<T, kernels::F<Accum<T>>>)
#define TRIREME_LOSSES(T)                        \
  TRIREME_POINT_LOSS(T, SquaredLoss);            \
  TRIREME_POINT_LOSS(T, AbsoluteLoss);           \
  TRIREME_POINT_LOSS(T, SmoothL1Loss);           \
  TRIREME_POINT_LOSS(T, BinaryCrossEntropyLoss); \
  TRIREME_POINT_LOSS(T, HingeLoss);              \
  TRIREME_POINT_LOSS(T, DivergenceLoss);         \
  TRIREME_LAUNCH_ROWS(MarginLoss<T>);            \
  TRIREME_LAUNCH_ROWS(MarginLossGradient<T>);    \
  TRIREME_LAUNCH_ROWS(CtcForward<T>);            \
  TRIREME_LAUNCH_ROWS(CtcGradient<T>)

TRIREME_LOSSES(float);
TRIREME_LOSSES(double);
TRIREME_LOSSES(BFloat16);
TRIREME_LOSSES(Float16);

}  // namespace trireme
