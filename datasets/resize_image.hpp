// Images of any size to one size.
#pragma once

#include <cstdint>
#include <vector>

#include "core/io/image_decode.hpp"

namespace trireme {

/// crop: scaled until the shorter side fits, then the middle; stretch: both sides scaled by themselves.
enum class Fit : std::uint8_t { crop, stretch };

struct ResizeTarget {
  std::int64_t width = 0, height = 0;
  Fit fit = Fit::crop;
};

/// What of an image of this extent becomes the target.
ImageWindow window_of(const ImageExtent& image, const ResizeTarget& target);

/// A window of an image; pixels outside the bounds, which lie inside the image, do not count.
struct ResizeSource {
  ImageView image;
  ImageWindow window;
  PixelBounds bounds;
};

/// Writes extent.height x extent.width x channels bytes. Each new pixel is a mean weighted by a triangle as wide as the
/// scale, at least one pixel of the source to each side (bilinear where it grows, without aliasing where it shrinks);
/// edges count what is there.
void resize_window(const ResizeSource& source, const ImageExtent& extent, std::uint8_t* out);

/// The whole image as the target fits it. An image of the wanted size comes back as it is.
std::vector<std::uint8_t> resize_image(const ImageView& image, const ResizeTarget& target);

}  // namespace trireme
