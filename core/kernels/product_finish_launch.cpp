// Instantiates the kernel of product_finish.hpp.
#include "core/kernels/product_finish.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

TRIREME_LAUNCH_ROWS(ProductFinish<float>);
TRIREME_LAUNCH_ROWS(ProductFinish<double>);
TRIREME_LAUNCH_ROWS(ProductFinish<BFloat16>);
TRIREME_LAUNCH_ROWS(ProductFinish<Float16>);

}  // namespace trireme
