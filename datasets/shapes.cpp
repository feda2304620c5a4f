#include "datasets/shapes.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/checked.hpp"
#include "core/base/now.hpp"
#include "datasets/draws.hpp"
#include "datasets/progress.hpp"
#include "datasets/writer.hpp"

namespace trireme {
namespace {

/// A shape around the origin: radius r, line thickness t, in pixels.
struct Pen {
  double r, t;
};

/// Signed distance to the edge of a shape (negative inside), y downwards.
using Distance = double (*)(double x, double y, const Pen& pen);

double box(double x, double y, double half_width, double half_height) {
  return std::max(std::abs(x) - half_width, std::abs(y) - half_height);
}
double plus(double x, double y, const Pen& p) { return std::min(box(x, y, p.t * 0.6, p.r), box(x, y, p.r, p.t * 0.6)); }

constexpr double diagonal = 0.70710678118654752;

const Distance distances[] = {
    [](double x, double y, const Pen& p) { return std::hypot(x, y) - p.r; },
    [](double x, double y, const Pen& p) { return std::abs(std::hypot(x, y) - p.r + p.t / 2) - p.t / 2; },
    [](double x, double y, const Pen& p) { return box(x, y, 0.85 * p.r, 0.85 * p.r); },
    [](double x, double y, const Pen& p) { return std::abs(box(x, y, 0.85 * p.r, 0.85 * p.r) + p.t / 2) - p.t / 2; },
    [](double x, double y, const Pen& p) {
      return std::max(y - 0.5 * p.r, 0.8660254 * std::abs(x) - 0.5 * y - 0.5 * p.r);
    },
    [](double x, double y, const Pen& p) { return plus(x, y, p); },
    [](double x, double y, const Pen& p) { return plus((x + y) * diagonal, (y - x) * diagonal, p); },
    [](double x, double y, const Pen& p) { return 0.85 * (std::abs(x) - 0.6 * p.r + 0.6 * std::abs(y)); },
    [](double x, double y, const Pen& p) {
      return std::max(std::hypot(x, y) - p.r, 0.8 * p.r - std::hypot(x - 0.5 * p.r, y));
    },
    [](double x, double y, const Pen& p) { return box(x, std::abs(y) - 0.6 * p.r, p.r, p.t / 2); },
};

struct SplitPlan {
  const char* name;
  std::int64_t count;
};

void generate_split(const SplitPlan& split, const ShapesOptions& options, DatasetWriter& writer) {
  const std::uint64_t stream = random_key(std::string("shapes/") + split.name, options.seed);
  const std::int64_t image_bytes = options.size * options.size;
  const std::int64_t block_rows = std::clamp<std::int64_t>((std::int64_t{1} << 20) / image_bytes, 1, split.count);
  std::vector<std::uint8_t> pixels(to_size(block_rows * image_bytes));
  std::vector<std::int32_t> labels(to_size(block_rows));
  writer.begin_split(split.name, split.count);
  Progress progress(std::string("drawing ") + split.name, split.count);
  for (std::int64_t first = 0; first < split.count; first += block_rows) {
    const std::int64_t rows = std::min(block_rows, split.count - first);
    for (std::int64_t i = 0; i < rows; ++i) {
      labels[to_size(i)] = draw_shape(options, stream, first + i, pixels.data() + i * image_bytes);
    }
    const FieldBlock blocks[] = {{pixels.data()}, {labels.data()}};
    writer.append(rows, blocks);
    progress.advance(rows);
  }
}

}  // namespace

const std::vector<std::string>& shape_classes() {
  static const std::vector<std::string> names = {"circle", "ring",    "square",  "frame",    "triangle",
                                                 "cross",  "saltire", "diamond", "crescent", "bars"};
  return names;
}

std::int32_t draw_shape(const ShapesOptions& options, std::uint64_t stream, std::int64_t index, std::uint8_t* pixels) {
  Draws draw(stream, index);
  const auto size = static_cast<double>(options.size);
  const std::int32_t label = draw.below(static_cast<std::uint32_t>(shape_classes().size()));
  const double radius = size * draw.between(0.2, 0.36);
  const Pen pen{radius, std::max(1.0, radius * draw.between(0.25, 0.45))};
  const double margin = std::max(0.0, size / 2 - radius - 1);
  const double center_x = size / 2 + draw.between(-margin, margin), center_y = size / 2 + draw.between(-margin, margin);
  const double angle = draw.between(-0.2, 0.2), cosine = std::cos(angle), sine = std::sin(angle);
  const double ink = draw.between(0.55, 1.0), paper = draw.between(0.0, 0.25);
  const Distance distance = distances[label];
  for (std::int64_t i = 0; i < options.size * options.size; ++i) {
    const double x = static_cast<double>(i % options.size) + 0.5 - center_x;
    const double y = static_cast<double>(i / options.size) + 0.5 - center_y;
    const double edge = distance(cosine * x + sine * y, cosine * y - sine * x, pen);
    const double inside = std::clamp(0.5 - edge, 0.0, 1.0);
    const std::uint32_t bits = draw.bits();
    const double disturbance = (static_cast<double>((bits & 0xffff) + (bits >> 16)) / 65535.0 - 1.0) * options.noise;
    const double value = paper + (ink - paper) * inside + disturbance;
    pixels[i] = static_cast<std::uint8_t>(std::clamp(value * 255 + 0.5, 0.0, 255.0));
  }
  return label;
}

DatasetIndex generate_shapes(const ShapesOptions& options) {
  if (options.count < 1 || options.test_count < 0) {
    fail(ExitCode::usage, "{} training and {} test images: wanted at least 1 and 0", options.count, options.test_count);
  }
  if (options.size < 8 || options.size > 4096) {
    fail(ExitCode::usage, "images of {} x {} pixels: wanted 8 to 4096", options.size, options.size);
  }
  if (!(options.noise >= 0 && options.noise <= 1)) fail(ExitCode::usage, "noise of {}: wanted 0 to 1", options.noise);
  DatasetWriter writer(
      {.folder = options.out,
       .name = options.name,
       .fields = {{"image", DType::u8, Shape{options.size, options.size, 1}}, {"label", DType::i32, Shape{}}},
       .class_names = shape_classes(),
       .shard_rows = options.shard_rows,
       .compress = options.compress,
       .existing = options.existing});
  generate_split({"train", options.count}, options, writer);
  if (options.test_count > 0) generate_split({"test", options.test_count}, options, writer);
  return writer.finish({{"importer", "shapes"},
                        {"date", utc_now()},
                        {"seed", options.seed},
                        {"noise", options.noise},
                        {"sources", Json::array()}});
}

}  // namespace trireme
