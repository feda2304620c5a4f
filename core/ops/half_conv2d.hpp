// Convolutions of 16-bit images by way of f32, for devices whose library has none: some images at a time are converted,
// and results rounded once. Internal to core/ops.
#pragma once

#include <functional>

#include "core/ops/conv2d_onednn.hpp"

namespace trireme::ops {

/// Each makes calls of `wide` whose tensors are f32. Destinations are of the images' type or f32.
void half_conv_forward(Context& context, const onednn::ConvForwardCall& call,
                       const std::function<void(const onednn::ConvForwardCall&)>& wide);
void half_conv_data_gradient(Context& context, const onednn::ConvDataGradientCall& call,
                             const std::function<void(const onednn::ConvDataGradientCall&)>& wide);
void half_conv_filter_gradient(Context& context, const onednn::ConvFilterGradientCall& call,
                               const std::function<void(const onednn::ConvFilterGradientCall&)>& wide);

}  // namespace trireme::ops
