// Instantiates the kernels of optimizer.hpp.
#include "core/kernels/optimizer.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ELEMENTS(SgdUpdate<float>);
TRIREME_LAUNCH_ELEMENTS(SgdUpdate<double>);
TRIREME_LAUNCH_ELEMENTS(AdamUpdate<float>);
TRIREME_LAUNCH_ELEMENTS(AdamUpdate<double>);
TRIREME_LAUNCH_ROWS(SquaredNorm<float>);
TRIREME_LAUNCH_ROWS(SquaredNorm<double>);
}  // namespace trireme
