// Pooling over windows of channels-last images (B, H, W, C), f32 or f64, with gradients.
#pragma once

#include "core/ops/activation.hpp"
#include "core/ops/pair.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

/// What an average divides by where a window reaches over the edge: its whole size, or what lies inside the image.
enum class PaddingCounts : std::uint8_t { yes, no };

struct Pool2dOptions {
  Pair window = {2, 2};
  Pair stride = {2, 2};
  Pair padding = {0, 0};  ///< Smaller than the window. Padding never is a maximum, and adds 0 to an average.
  PaddingCounts padding_counts = PaddingCounts::yes;
  /// max_pool2d only: relu gives the same values and gradients as a ReLU before or after it, but needs no passes over
  /// the unpooled image; the others throw.
  Activation activation = Activation::none;
};

/// (B, H, W, C) -> (B, (H + 2 padding - window) / stride + 1, likewise W, C): the largest value of each window. The
/// gradient goes to the first of equal ones. Windows have at most 254 positions; one byte is kept for each output.
Value max_pool2d(Context& context, const Value& x, const Pool2dOptions& options = {});

/// The mean of each window.
Value average_pool2d(Context& context, const Value& x, const Pool2dOptions& options = {});

/// (B, H, W, C) -> (B, C): the mean over each image.
Value global_average_pool(Context& context, const Value& x);

}  // namespace trireme::ops
