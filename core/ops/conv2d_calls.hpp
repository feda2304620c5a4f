// What a library is asked to compute for a convolution. Internal to core/ops.
#pragma once

#include "core/kernels/conv2d_reference.hpp"
#include "core/ops/gemm.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

struct ConvForwardCall {
  kernels::ConvExtents extents;
  const Tensor& x;
  const Value& filter;
  Tensor bias;  ///< Or null.
  Product::Finish finish;
  const Tensor& y;
};

struct ConvDataGradientCall {
  kernels::ConvExtents extents;
  const Tensor& dy;
  const Value& filter;
  Destination dx;
  bool is_output = false;  ///< Of a transposed convolution, not a gradient.
};

struct ConvFilterGradientCall {
  kernels::ConvExtents extents;
  const Tensor& x;
  const Tensor& dy;
  Destination dfilter;
  Destination dbias;  ///< With a null tensor if not wanted.
};

}  // namespace trireme::ops
