// A generated data set of drawn shapes in ten classes, for machines that cannot fetch a real one and for tests. Every
// image is a pure function of (seed, split, index).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/format.hpp"
#include "datasets/staged_folder.hpp"

namespace trireme {

struct ShapesOptions {
  std::string out = {};
  std::string name = {};
  std::int64_t count = 10000;
  /// 0: no split "test".
  std::int64_t test_count = 2000;
  std::uint64_t seed = 1;
  /// Height and width of an image in pixels.
  std::int64_t size = 28;
  /// Largest disturbance of a pixel, as a part of full brightness.
  double noise = 0.2;
  std::int64_t shard_rows = 0;
  std::int64_t compress = 0;  ///< See WriterOptions.
  Existing existing = Existing::refuse;
};

/// circle, ring, square, frame, triangle, cross, saltire, diamond, crescent, bars.
const std::vector<std::string>& shape_classes();

/// Makes a data set with fields image u8 (size, size, 1) and label i32 ().
DatasetIndex generate_shapes(const ShapesOptions& options);

/// Draws one image into size * size bytes; returns its label. `stream` is random_key of split and seed.
std::int32_t draw_shape(const ShapesOptions& options, std::uint64_t stream, std::int64_t index, std::uint8_t* pixels);

}  // namespace trireme
