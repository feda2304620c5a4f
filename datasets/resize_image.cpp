#include "datasets/resize_image.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

/// The pixels of a line that a new one is a mean of.
struct Taps {
  std::size_t first = 0;
  std::vector<float> weights = {};
};

/// The part [begin, begin + length) of a line of `source` pixels becomes `wanted` pixels.
struct Line {
  double begin, length;
  std::int64_t source, wanted;
};

std::vector<Taps> taps_of(const Line& line) {
  const double scale = line.length / static_cast<double>(line.wanted), reach = std::max(1.0, scale);
  std::vector<Taps> out(to_size(line.wanted));
  for (std::size_t k = 0; k < out.size(); ++k) {
    const double centre = line.begin + (static_cast<double>(k) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(centre - reach + 0.5)));
    const auto last = std::min(line.source, static_cast<std::int64_t>(std::floor(centre + reach + 0.5)));
    double sum = 0;
    std::vector<double> weights;
    for (std::int64_t at = first; at < std::max(last, first + 1); ++at) {
      weights.push_back(std::max(0.0, 1 - std::abs(static_cast<double>(at) + 0.5 - centre) / reach));
      sum += weights.back();
    }
    out[k].first = to_size(first);
    for (const double weight : weights) out[k].weights.push_back(static_cast<float>(weight / sum));
  }
  return out;
}

std::uint8_t rounded_byte(float value) { return static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f)); }

/// What of the image is taken: begin and length of columns and rows.
struct Window {
  double left, width, top, height;
};

Window window_of(const ImageView& image, const ResizeTarget& target) {
  const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  if (target.fit == Fit::stretch) return {0, width, 0, height};
  const double scale = std::min(width / static_cast<double>(target.width), height / static_cast<double>(target.height));
  const double w = scale * static_cast<double>(target.width), h = scale * static_cast<double>(target.height);
  return {(width - w) / 2, w, (height - h) / 2, h};
}

}  // namespace

std::vector<std::uint8_t> resize_image(const ImageView& image, const ResizeTarget& target) {
  require(image.width > 0 && image.height > 0 && target.width > 0 && target.height > 0,
          "an image of {} x {} pixels to {} x {}: all must be positive", image.width, image.height, target.width,
          target.height);
  if (image.width == target.width && image.height == target.height) return {image.pixels.begin(), image.pixels.end()};
  const Window window = window_of(image, target);
  const auto columns = taps_of({window.left, window.width, image.width, target.width});
  const auto rows = taps_of({window.top, window.height, image.height, target.height});
  const std::size_t channels = to_size(image.channels), width = columns.size(),
                    source = to_size(image.width) * channels;
  // Rows that are asked for, made narrower, in floats.
  const std::size_t first = rows.front().first, last = rows.back().first + rows.back().weights.size();
  std::vector<float> narrow((last - first) * width * channels, 0.0f);
  for (std::size_t y = first; y < last; ++y)
    for (std::size_t x = 0; x < width; ++x)
      for (std::size_t k = 0; k < columns[x].weights.size(); ++k)
        for (std::size_t c = 0; c < channels; ++c)
          narrow[((y - first) * width + x) * channels + c] +=
              columns[x].weights[k] *
              static_cast<float>(image.pixels[y * source + (columns[x].first + k) * channels + c]);
  std::vector<std::uint8_t> out(rows.size() * width * channels);
  std::vector<float> line(width * channels);
  for (std::size_t y = 0; y < rows.size(); ++y) {
    std::ranges::fill(line, 0.0f);
    for (std::size_t k = 0; k < rows[y].weights.size(); ++k)
      for (std::size_t x = 0; x < line.size(); ++x)
        line[x] += rows[y].weights[k] * narrow[(rows[y].first + k - first) * line.size() + x];
    std::ranges::transform(line, out.begin() + static_cast<std::ptrdiff_t>(y * line.size()), rounded_byte);
  }
  return out;
}

}  // namespace trireme
