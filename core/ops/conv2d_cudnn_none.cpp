// Convolutions on a GPU in a build without cuDNN: the plain text computes them.
#ifndef TRIREME_HAS_CUDNN

#include "core/ops/conv2d_cudnn.hpp"

namespace trireme::ops::cudnn {

bool conv_forward(Context&, const ConvForwardCall&) { return false; }
bool conv_data_gradient(Context&, const ConvDataGradientCall&) { return false; }
bool conv_filter_gradient(Context&, const ConvFilterGradientCall&) { return false; }

}  // namespace trireme::ops::cudnn

#endif
