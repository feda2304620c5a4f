// Instantiates the kernels of matmul_reference.hpp.
#include "core/kernels/matmul_reference.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(MatmulReference<float>);
TRIREME_LAUNCH_ROWS(MatmulReference<double>);
TRIREME_LAUNCH_ROWS(TransposeMatrix<float>);
TRIREME_LAUNCH_ROWS(TransposeMatrix<double>);
TRIREME_LAUNCH_ROWS(TransposeMatrix<BFloat16>);
TRIREME_LAUNCH_ROWS(TransposeMatrix<Float16>);
}  // namespace trireme
