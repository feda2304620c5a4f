// Ops on images (B, H, W, C): padding, resizing, and depth to space. f32, f64 or 16 bits, with gradients. Padding and
// resizing are a linear map along the height and one along the width; their gradients are the transposed maps.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

/// What stands outside the image: a constant; the image mirrored at its edge pixel, which is not repeated (padding
/// below the extent); the edge pixel repeated; the image once more from the other side (padding up to the extent).
enum class PadMode : std::uint8_t { constant, reflect, replicate, circular };

struct PadOptions {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;  ///< Rows and columns, at least 0.
  PadMode mode = PadMode::constant;
  double value = 0;  ///< Of mode constant.
};
/// (B, H, W, C) -> (B, top + H + bottom, left + W + right, C).
Value pad(Context& context, const Value& x, const PadOptions& options);

/// nearest: the pixel at floor(j * H / height). bilinear: two pixels a dim. bicubic: four, by the convolution with
/// a = -0.75 (Keys 1981).
enum class Interpolation : std::uint8_t { nearest, bilinear, bicubic };
/// Where pixel j of the result lies: centers as those of pixels of equal area, (j + 1/2) H / height - 1/2, or corners
/// on corners, j (H - 1) / (height - 1).
enum class Alignment : std::uint8_t { pixels, corners };

struct InterpolateOptions {
  std::int64_t height = 1, width = 1;  ///< Of the result.
  Interpolation mode = Interpolation::bilinear;
  Alignment alignment = Alignment::pixels;  ///< Of bilinear and bicubic.
};
/// (B, H, W, C) -> (B, height, width, C); no filter against aliasing where it becomes smaller.
Value interpolate(Context& context, const Value& x, const InterpolateOptions& options);

/// Depth to space (Shi et al. 2016, arXiv:1609.05158): (B, H, W, C r^2) -> (B, H r, W r, C); channel c r^2 + i r + j
/// goes to row i and column j of its r x r block.
Value pixel_shuffle(Context& context, const Value& x, std::int64_t factor);
/// Its inverse: (B, H r, W r, C) -> (B, H, W, C r^2).
Value pixel_unshuffle(Context& context, const Value& x, std::int64_t factor);

}  // namespace trireme::ops
