// PNG and JPEG files to pixels of 8 bits, by libpng and libjpeg-turbo: whole, or no more of an image than is wanted.
// Whatever the bytes claim, reading ends in an image or in an Error. A build without one of the libraries refuses its
// files.
#pragma once

#include <cstdint>
#include <functional>
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
/// become 8, and the four inks of printing (CMYK) the light that they leave of white paper. The first bytes say of
/// which kind it is; `name` is its file, for messages. Error(corrupt_input) for anything that is no whole PNG or JPEG
/// image or is larger than 2^28 pixels.
DecodedImage decode_image(std::string_view bytes, std::int64_t channels, const std::string& name);

struct ImageExtent {
  std::int64_t width = 0, height = 0;
};

/// A rectangle in pixels, which need not be whole ones.
struct ImageWindow {
  double left = 0, top = 0, width = 0, height = 0;
};

/// Whole pixels: columns [left, right) and rows [top, bottom).
struct PixelBounds {
  std::int64_t left = 0, top = 0, right = 0, bottom = 0;
};

/// What of an image is wanted. edges::image: the pixels around the window count, too, where means are taken.
struct PartChoice {
  ImageWindow window;
  enum class Edges : std::uint8_t { window, image } edges = Edges::window;
};

struct PartRequest {
  std::int64_t channels = 3;
  /// Pixels that the window will be made to.
  ImageExtent wanted;
  /// Given the stored image's extent, the window: inside it and at least a pixel wide and high.
  std::function<PartChoice(ImageExtent)> choose;
};

struct DecodedPart {
  DecodedImage image;
  /// The chosen window in pixels of `image`, and which of them count.
  ImageWindow window;
  PixelBounds bounds;
};

/// Decodes what the request wants, into `out`, whose memory is used again. A JPEG image is decoded at 1/2, 1/4 or 1/8
/// of its size (its transform gives that for less work) where the window still has at least the pixels it will be made
/// to, and only as far as the window reaches: damage behind it is not seen. A pure function of bytes and request.
/// Errors as decode_image().
void decode_part(std::string_view bytes, const PartRequest& request, const std::string& name, DecodedPart& out);

}  // namespace trireme
