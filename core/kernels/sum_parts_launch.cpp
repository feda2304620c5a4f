// Instantiates the kernel of sum_parts.hpp.
#include "core/kernels/sum_parts.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ELEMENTS(SumParts<BFloat16>);
TRIREME_LAUNCH_ELEMENTS(SumParts<Float16>);
}  // namespace trireme
