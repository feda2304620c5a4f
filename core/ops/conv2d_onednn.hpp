// Convolutions of f32 images by oneDNN on the CPU: channels-last images, filters in the form the library prefers.
// Internal to core/ops.
#pragma once

#include "core/kernels/conv2d_reference.hpp"
#include "core/ops/gemm.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops::onednn {

struct ConvForwardCall {
  kernels::ConvExtents extents;
  const Tensor& x;
  const Value& filter;
  Tensor bias;  ///< Or null.
  Product::Finish finish;
  const Tensor& y;
};
void conv_forward(Context& context, const ConvForwardCall& call);

struct ConvDataGradientCall {
  kernels::ConvExtents extents;
  const Tensor& dy;
  const Value& filter;
  Destination dx;
};
void conv_data_gradient(Context& context, const ConvDataGradientCall& call);

struct ConvFilterGradientCall {
  kernels::ConvExtents extents;
  const Tensor& x;
  const Tensor& dy;
  Destination dfilter;
  Destination dbias;  ///< With a null tensor if not wanted.
};
void conv_filter_gradient(Context& context, const ConvFilterGradientCall& call);

}  // namespace trireme::ops::onednn
