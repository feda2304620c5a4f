// What happens to a sample's value between the shard and the batch, in the loader's threads. A Transform is a pure
// function of (row, sample key): its random numbers are Philox keyed by (seed, position in the stream, place in the
// list), so a batch is the same whatever number of threads or processes prepares it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "datasets/row_type.hpp"

namespace trireme {

/// The source of a transform's random numbers for one sample.
struct SampleKey {
  std::uint64_t seed = 0;
  std::uint64_t position = 0;
  std::uint32_t place = 0;
  /// 128 random bits.
  std::array<std::uint32_t, 4> bits() const;
};

/// One row on its way in.
struct TransformInput {
  const RowType& type;
  const std::byte* data;
  SampleKey key;
  /// Of data, where the type is encoded.
  std::size_t bytes = 0;
};

class Transform {
 public:
  virtual ~Transform() = default;
  /// The type apply() makes of a row of type `in`; ExitCode::usage where it cannot take such rows.
  virtual RowType output(const RowType& in) const = 0;
  /// Whether it may be given encoded rows; the others get them decoded.
  virtual bool takes_encoded() const { return false; }
  /// Writes output(in.type).bytes() bytes to `out`, which does not overlap the input. Called by several threads.
  virtual void apply(const TransformInput& in, std::byte* out) const = 0;
};

using TransformList = std::vector<std::shared_ptr<const Transform>>;

/// y = (x * scale - mean[c]) / deviation[c], c the last dim. One mean and deviation for all channels, or one each.
struct NormaliseOptions {
  double scale = 1.0 / 255;
  std::vector<double> mean = {0};
  std::vector<double> deviation = {1};
  /// A floating type.
  DType to = DType::f32;
};
/// Takes u8, f32 and f64 rows of any shape.
std::shared_ptr<const Transform> normalise(const NormaliseOptions& options);

/// Mirrors images (H, W, C) of any dtype left to right with a probability.
std::shared_ptr<const Transform> random_horizontal_flip(double probability = 0.5);

/// Cuts a window of (height, width) at a random place out of an image (H, W, C) with `padding` pixels of zero bytes on
/// every side. Height and width 0: as in the image, which makes it a random shift by up to `padding` pixels.
struct CropOptions {
  std::int64_t padding = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
};
std::shared_ptr<const Transform> random_crop(const CropOptions& options);

/// Bytes as numbers that embeddings take: u8 rows of any shape as i32.
std::shared_ptr<const Transform> widen();

/// A list applied in order, with the memory between its steps. One per thread.
class TransformChain {
 public:
  /// Encoded rows are decoded first (see decoded_image()), by the first transform where it can. Throws what a
  /// transform's output() throws.
  TransformChain(TransformList list, const RowType& in);
  const RowType& output() const { return types_.back(); }
  /// Writes output().bytes() bytes to `out`; an empty list copies plain rows.
  void apply(std::span<const std::byte> in, std::byte* out, SampleKey key);

 private:
  std::shared_ptr<const Transform> decoder_;
  TransformList list_;
  std::vector<RowType> types_;
  std::array<std::vector<std::byte>, 2> between_;
};

}  // namespace trireme
