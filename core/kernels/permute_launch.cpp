// Instantiates the kernels of permute.hpp.
#include "core/kernels/permute.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(CopyRows<float>);
TRIREME_LAUNCH_ROWS(CopyRows<double>);
TRIREME_LAUNCH_ROWS(CopyRows<BFloat16>);
TRIREME_LAUNCH_ROWS(CopyRows<Float16>);
TRIREME_LAUNCH_ROWS(PermuteRows<float>);
TRIREME_LAUNCH_ROWS(PermuteRows<double>);
TRIREME_LAUNCH_ROWS(PermuteRows<BFloat16>);
TRIREME_LAUNCH_ROWS(PermuteRows<Float16>);
TRIREME_LAUNCH_ROWS(PermuteTiles<float>);
TRIREME_LAUNCH_ROWS(PermuteTiles<double>);
TRIREME_LAUNCH_ROWS(PermuteTiles<BFloat16>);
TRIREME_LAUNCH_ROWS(PermuteTiles<Float16>);
}  // namespace trireme
