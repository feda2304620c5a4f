// Instantiates the kernels of optimizer.hpp.
#include "core/kernels/optimizer.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_UPDATES(...)                           \
  TRIREME_LAUNCH_ELEMENTS(SgdUpdate<__VA_ARGS__>);     \
  TRIREME_LAUNCH_ELEMENTS(AdamUpdate<__VA_ARGS__>);    \
  TRIREME_LAUNCH_ELEMENTS(RmsPropUpdate<__VA_ARGS__>); \
  TRIREME_LAUNCH_ELEMENTS(LionUpdate<__VA_ARGS__>)

TRIREME_UPDATES(float);
TRIREME_UPDATES(double);
TRIREME_UPDATES(BFloat16, float);
TRIREME_UPDATES(BFloat16, BFloat16);
TRIREME_UPDATES(Float16, float);
TRIREME_UPDATES(Float16, Float16);
TRIREME_LAUNCH_ROWS(SquaredNorm<float>);
TRIREME_LAUNCH_ROWS(SquaredNorm<double>);
TRIREME_LAUNCH_ROWS(SquaredNorm<BFloat16>);
TRIREME_LAUNCH_ROWS(SquaredNorm<Float16>);

}  // namespace trireme
