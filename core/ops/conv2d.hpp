// Two-dimensional convolution (cross-correlation, as is usual in networks) of channels-last images, f32 or f64, with
// gradients. f32 on a CPU runs in oneDNN, on a GPU in cuDNN, the rest in the text of core/kernels/conv2d_reference.hpp.
#pragma once

#include "core/ops/activation.hpp"
#include "core/ops/gemm.hpp"
#include "core/ops/pair.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

struct Conv2dParameters {
  Value filter;     ///< (outputs, height, width, channels / groups).
  Value bias = {};  ///< (outputs), or nothing.
};

struct Conv2dOptions {
  Pair stride = {1, 1};
  Pair padding = {0, 0};   ///< Rows and columns of zeros on each side.
  Pair dilation = {1, 1};  ///< Distance of the elements of a filter in the image.
  std::int64_t groups = 1;
  Activation activation = Activation::none;
  Backend backend = Backend::best;
};

/// (B, H, W, C) -> (B, (H + 2 padding - (filter - 1) dilation - 1) / stride + 1, likewise W, outputs). Bias and ReLU
/// are part of the convolution; other activations follow it. The gradient of the input is skipped where nothing wants
/// it.
Value conv2d(Context& context, const Value& x, const Conv2dParameters& parameters, const Conv2dOptions& options = {});

struct ConvTranspose2dOptions {
  Conv2dOptions conv = {};       ///< Of the convolution whose transpose this is.
  Pair output_padding = {0, 0};  ///< Rows and columns more at the lower and right end; less than the stride.
};

/// The transpose of a convolution (Zeiler et al. 2010, "deconvolution"): what its gradient does to images. x (B, H, W,
/// C), filter (C, height, width, outputs / groups), bias (outputs) -> (B, (H - 1) stride - 2 padding + (filter - 1)
/// dilation
/// + 1 + output_padding, likewise W, outputs). Runs where conv2d runs.
Value conv_transpose2d(Context& context, const Value& x, const Conv2dParameters& parameters,
                       const ConvTranspose2dOptions& options = {});

}  // namespace trireme::ops
