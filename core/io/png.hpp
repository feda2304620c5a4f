// PNG images of 8 bits a channel, made in memory by libpng. A build without libpng has png_available() == false, and
// its encode_png() only says so.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace trireme {

/// Rows from top to bottom, pixels from left to right, channels last: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA (alpha
/// not multiplied into the colours).
struct ImageView {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t channels = 0;
  std::span<const std::uint8_t> pixels = {};  ///< height x width x channels
};

bool png_available();

/// The bytes of a PNG file. Throws where the pixels do not fit the extents, where libpng refuses (a side of more than a
/// million pixels), and in a build without libpng.
std::string encode_png(const ImageView& image);

}  // namespace trireme
