// Instantiates the kernels of conv2d_reference.hpp.
#include "core/kernels/conv2d_reference.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(ConvForward<float>);
TRIREME_LAUNCH_ROWS(ConvForward<double>);
TRIREME_LAUNCH_ROWS(ConvDataGradient<float>);
TRIREME_LAUNCH_ROWS(ConvDataGradient<double>);
TRIREME_LAUNCH_ROWS(ConvFilterGradient<float>);
TRIREME_LAUNCH_ROWS(ConvFilterGradient<double>);
}  // namespace trireme
