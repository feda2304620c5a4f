// Convolutions of f32 images by oneDNN on the CPU: channels-last images, filters in the form the library prefers.
// Internal to core/ops.
#pragma once

#include "core/ops/conv2d_calls.hpp"

namespace trireme::ops::onednn {

void conv_forward(Context& context, const ConvForwardCall& call);
void conv_data_gradient(Context& context, const ConvDataGradientCall& call);
void conv_filter_gradient(Context& context, const ConvFilterGradientCall& call);

}  // namespace trireme::ops::onednn
