// Instantiates the kernels of pooling.hpp.
#include "core/kernels/pooling.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_POOLING(T)                      \
  TRIREME_LAUNCH_ROWS(MaxPoolForward<T>);       \
  TRIREME_LAUNCH_ROWS(MaxPoolGradient<T>);      \
  TRIREME_LAUNCH_ROWS(MaxPoolGradientApart<T>); \
  TRIREME_LAUNCH_ROWS(AveragePoolForward<T>);   \
  TRIREME_LAUNCH_ROWS(AveragePoolGradient<T>);  \
  TRIREME_LAUNCH_ROWS(GlobalAverageForward<T>); \
  TRIREME_LAUNCH_ROWS(GlobalAverageGradient<T>)

TRIREME_POOLING(float);
TRIREME_POOLING(double);
TRIREME_POOLING(BFloat16);
TRIREME_POOLING(Float16);

}  // namespace trireme
