#include "launcher/run/confusion_picture.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.hpp"
#include "core/io/png.hpp"

namespace trireme {
namespace {

constexpr std::size_t wanted_side = 600;

std::array<std::uint8_t, 3> colour(double share, bool right) {
  // Square roots, so that a few per cent are seen.
  const auto fade = static_cast<std::uint8_t>(std::lround(255 * (1 - std::sqrt(share))));
  if (right) return {fade, static_cast<std::uint8_t>(155 + fade * 100 / 255), fade};
  return {static_cast<std::uint8_t>(185 + fade * 70 / 255), fade, fade};
}

}  // namespace

std::string confusion_picture(const ConfusionMatrix& matrix) {
  const std::size_t classes = matrix.names.size();
  require(classes > 0 && matrix.counts.size() == classes * classes,
          "a picture of {} counts for {} classes; wanted one for each pair", matrix.counts.size(), classes);
  const std::size_t cell = std::clamp<std::size_t>(wanted_side / classes, 4, 32), side = classes * cell + 1;
  std::vector<std::uint8_t> pixels(side * side * 3, 200);
  for (std::size_t row = 0; row < classes; ++row) {
    double all = 0;
    for (std::size_t c = 0; c < classes; ++c) all += static_cast<double>(matrix.counts[row * classes + c]);
    for (std::size_t c = 0; c < classes; ++c) {
      const double share = all == 0 ? 0 : static_cast<double>(matrix.counts[row * classes + c]) / all;
      const auto rgb = colour(share, row == c);
      for (std::size_t y = row * cell + 1; y < (row + 1) * cell; ++y)
        for (std::size_t x = c * cell + 1; x < (c + 1) * cell; ++x)
          std::copy(rgb.begin(), rgb.end(), pixels.begin() + static_cast<std::ptrdiff_t>((y * side + x) * 3));
    }
  }
  const auto extent = static_cast<std::int64_t>(side);
  return encode_png({.width = extent, .height = extent, .channels = 3, .pixels = pixels});
}

}  // namespace trireme
