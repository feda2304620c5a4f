// PNG and JPEG files to pixels of 8 bits, by libpng and libjpeg-turbo. Whatever the bytes claim, reading ends in an
// image or in an Error. A build without one of the libraries refuses its files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/png.hpp"

namespace trireme {

/// Rows from top to bottom, pixels from left to right, channels last.
struct DecodedImage {
  std::int64_t width = 0, height = 0, channels = 0;
  std::vector<std::uint8_t> pixels = {};
  ImageView view() const { return {.width = width, .height = height, .channels = channels, .pixels = pixels}; }
};

bool jpeg_available();

/// The image with `channels` 1 (grey) or 3 (RGB); colours become grey by their luminance, alpha is dropped, 16 bits
/// become
/// 8. The first bytes say of which kind it is; `name` is its file, for messages. Error(corrupt_input) for anything that
/// is no whole PNG or JPEG image, is larger than 2^28 pixels, or has the four inks of printing (CMYK).
DecodedImage decode_image(std::string_view bytes, std::int64_t channels, const std::string& name);

}  // namespace trireme
