// Convolutions of 16-bit images by way of f32, for devices whose library has none: some images at a time are converted,
// and results rounded once. Internal to core/ops.
#pragma once

#include <functional>

#include "core/ops/conv2d_calls.hpp"

namespace trireme::ops {

/// Each makes calls of `wide` whose tensors are f32. Destinations are of the images' type or f32.
void half_conv_forward(Context& context, const ConvForwardCall& call,
                       const std::function<void(const ConvForwardCall&)>& wide);
void half_conv_data_gradient(Context& context, const ConvDataGradientCall& call,
                             const std::function<void(const ConvDataGradientCall&)>& wide);
/// The filter's gradient alone, not the bias'.
void half_conv_filter_gradient(Context& context, const ConvFilterGradientCall& call,
                               const std::function<void(const ConvFilterGradientCall&)>& wide);

}  // namespace trireme::ops
