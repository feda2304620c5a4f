// Instantiates the kernels of batch_norm.hpp.
#include "core/kernels/batch_norm.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_BATCH_NORM(T)                             \
  TRIREME_LAUNCH_COLUMNS(BatchNormMoments<T>);            \
  TRIREME_LAUNCH_ROWS(BatchNormForward<T>);               \
  TRIREME_LAUNCH_COLUMNS(BatchNormGradientSums<T>);       \
  TRIREME_LAUNCH_ELEMENTS(BatchNormParameterGradient<T>); \
  TRIREME_LAUNCH_ROWS(BatchNormInputGradient<T>)
#define TRIREME_BATCH_NORM_STATISTICS(T)        \
  TRIREME_LAUNCH_ELEMENTS(BatchNormFinish<T>);  \
  TRIREME_LAUNCH_ELEMENTS(BatchNormRunning<T>); \
  TRIREME_LAUNCH_ELEMENTS(BatchNormFixed<T>);   \
  TRIREME_LAUNCH_ELEMENTS(BatchNormCoefficients<T>)

TRIREME_BATCH_NORM(float);
TRIREME_BATCH_NORM(double);
TRIREME_BATCH_NORM(BFloat16);
TRIREME_BATCH_NORM(Float16);
TRIREME_BATCH_NORM_STATISTICS(float);
TRIREME_BATCH_NORM_STATISTICS(double);
TRIREME_LAUNCH_ELEMENTS(BatchNormJoin);
TRIREME_LAUNCH_ELEMENTS(BatchNormTotals);
TRIREME_LAUNCH_ELEMENTS(BatchNormJoinSums);

}  // namespace trireme
