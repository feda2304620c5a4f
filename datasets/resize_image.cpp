#include "datasets/resize_image.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

/// Which pixels of a line each new one is a mean of.
struct Taps {
  struct One {
    std::size_t first, count;
    const float* weights;
  };
  std::vector<std::size_t> first = {}, count = {};
  std::vector<float> weights = {};
  std::size_t most = 0;  ///< Weights kept for each.
  One operator[](std::size_t k) const { return {first[k], count[k], weights.data() + k * most}; }
};

/// The part [begin, begin + length) of a line becomes `wanted` pixels; those in [low, high) count.
struct Line {
  double begin, length;
  std::int64_t low, high, wanted;
};

Taps taps_of(const Line& line) {
  const double scale = line.length / static_cast<double>(line.wanted), reach = std::max(1.0, scale);
  Taps out;
  out.most = static_cast<std::size_t>(std::ceil(2 * reach)) + 2;
  out.weights.resize(to_size(line.wanted) * out.most);
  for (std::int64_t k = 0; k < line.wanted; ++k) {
    const double centre = line.begin + (static_cast<double>(k) + 0.5) * scale;
    const auto first = std::clamp(static_cast<std::int64_t>(std::floor(centre - reach + 0.5)), line.low, line.high - 1);
    const auto last = std::clamp(static_cast<std::int64_t>(std::floor(centre + reach + 0.5)), first + 1, line.high);
    float* const weights = out.weights.data() + to_size(k) * out.most;
    double sum = 0;
    for (std::int64_t at = first; at < last; ++at) {
      const double weight = std::max(0.0, 1 - std::abs(static_cast<double>(at) + 0.5 - centre) / reach);
      weights[at - first] = static_cast<float>(weight);
      sum += weight;
    }
    if (!(sum > 0)) weights[0] = 1;  // a window at the very edge: the nearest pixel
    for (std::int64_t at = first; sum > 0 && at < last; ++at)
      weights[at - first] = static_cast<float>(weights[at - first] / sum);
    out.first.push_back(to_size(first));
    out.count.push_back(to_size(last - first));
  }
  return out;
}

std::uint8_t rounded_byte(float value) { return static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f)); }

/// A mean of some rows, in floats: pixels [begin, end) of a line, counted in numbers.
void mean_of_rows(const Taps::One& rows, const ImageView& image, std::pair<std::size_t, std::size_t> range,
                  float* __restrict to) {
  const auto [begin, end] = range;
  const std::size_t stride = to_size(image.width * image.channels);
  const std::uint8_t* __restrict from = image.pixels.data() + rows.first * stride;
  const float once = rows.weights[0];
  std::size_t k = 1;
  if (rows.count > 1) {
    const float twice = rows.weights[1];
    for (std::size_t x = begin; x < end; ++x)
      to[x] = once * static_cast<float>(from[x]) + twice * static_cast<float>(from[stride + x]);
    k = 2;
  } else {
    for (std::size_t x = begin; x < end; ++x) to[x] = once * static_cast<float>(from[x]);
  }
  for (; k < rows.count; ++k) {
    const float weight = rows.weights[k];
    const std::uint8_t* __restrict row = from + k * stride;
    for (std::size_t x = begin; x < end; ++x) to[x] += weight * static_cast<float>(row[x]);
  }
}

/// Four numbers: three colours, and one of the next pixel that is thrown away.
typedef float Four __attribute__((vector_size(16)));

void narrow_colours(const float* line, const Taps& columns, std::uint8_t* out) {
  for (std::size_t x = 0; x < columns.first.size(); ++x, out += 3) {
    const Taps::One taps = columns[x];
    Four sum{};
    for (std::size_t k = 0; k < taps.count; ++k) {
      Four pixel;
      std::memcpy(&pixel, line + (taps.first + k) * 3, sizeof pixel);
      sum += taps.weights[k] * pixel;
    }
    for (std::size_t c = 0; c < 3; ++c) out[c] = rounded_byte(sum[c]);
  }
}

void narrow_any(const float* line, const Taps& columns, std::size_t channels, std::uint8_t* out) {
  for (std::size_t x = 0; x < columns.first.size(); ++x) {
    const Taps::One taps = columns[x];
    for (std::size_t c = 0; c < channels; ++c) {
      float sum = 0;
      for (std::size_t k = 0; k < taps.count; ++k) sum += taps.weights[k] * line[(taps.first + k) * channels + c];
      *out++ = rounded_byte(sum);
    }
  }
}

}  // namespace

ImageWindow window_of(const ImageExtent& image, const ResizeTarget& target) {
  const auto width = static_cast<double>(image.width), height = static_cast<double>(image.height);
  if (target.fit == Fit::stretch) return {0, 0, width, height};
  const double scale = std::min(width / static_cast<double>(target.width), height / static_cast<double>(target.height));
  const double w = scale * static_cast<double>(target.width), h = scale * static_cast<double>(target.height);
  return {(width - w) / 2, (height - h) / 2, w, h};
}

void resize_window(const ResizeSource& source, const ImageExtent& extent, std::uint8_t* out) {
  const auto& [image, window, bounds] = source;
  require(extent.width > 0 && extent.height > 0 && bounds.left >= 0 && bounds.top >= 0 && bounds.left < bounds.right &&
              bounds.top < bounds.bottom && bounds.right <= image.width && bounds.bottom <= image.height,
          "a part of an image of {} x {} pixels to {} x {}: all must be positive", image.width, image.height,
          extent.width, extent.height);
  const Taps columns = taps_of({window.left, window.width, bounds.left, bounds.right, extent.width});
  const Taps rows = taps_of({window.top, window.height, bounds.top, bounds.bottom, extent.height});
  const std::size_t channels = to_size(image.channels), width = to_size(extent.width);
  const std::pair range{columns.first.front() * channels, (columns.first.back() + columns.count.back()) * channels};
  // One number more, which is read but does not count.
  std::vector<float> line(range.second + 1, 0.0f);
  for (std::size_t y = 0; y < rows.first.size(); ++y, out += width * channels) {
    mean_of_rows(rows[y], image, range, line.data());
    if (channels == 3) {
      narrow_colours(line.data(), columns, out);
    } else {
      narrow_any(line.data(), columns, channels, out);
    }
  }
}

std::vector<std::uint8_t> resize_image(const ImageView& image, const ResizeTarget& target) {
  require(image.width > 0 && image.height > 0 && target.width > 0 && target.height > 0,
          "an image of {} x {} pixels to {} x {}: all must be positive", image.width, image.height, target.width,
          target.height);
  if (image.width == target.width && image.height == target.height) return {image.pixels.begin(), image.pixels.end()};
  std::vector<std::uint8_t> out(to_size(target.width * target.height * image.channels));
  resize_window({.image = image,
                 .window = window_of({image.width, image.height}, target),
                 .bounds = {0, 0, image.width, image.height}},
                {target.width, target.height}, out.data());
  return out;
}

}  // namespace trireme
