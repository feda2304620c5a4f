// Instantiates the kernels of axis_map.hpp and group_norm.hpp.
#include "core/kernels/axis_map.hpp"
#include "core/kernels/group_norm.hpp"
#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_IMAGE(T)                          \
  TRIREME_LAUNCH_ROWS(AxisMap<T>);                \
  TRIREME_LAUNCH_ROWS(GroupNormForward<T>);       \
  TRIREME_LAUNCH_ROWS(GroupNormInputGradient<T>); \
  TRIREME_LAUNCH_COLUMNS(GroupNormParameterGradient<T>)

TRIREME_IMAGE(float);
TRIREME_IMAGE(double);
TRIREME_IMAGE(BFloat16);
TRIREME_IMAGE(Float16);

}  // namespace trireme
