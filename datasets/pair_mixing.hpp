// Training samples made of two (mixup, cutmix): a sample is mixed with its neighbour in the stream, positions 2k and
// 2k + 1 with one another. The stream is shuffled, so the neighbour is a random other sample; and as both its place and
// the shares are a pure function of (seed, position), a batch is the same on any number of ranks and after a restart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "datasets/row_type.hpp"

namespace trireme {

/// What is mixed how. A batch gets three more fields: label2 i32 (rows), the neighbour's label, and label_weight and
/// label2_weight f32 (rows), the shares of both, which add up to 1.
struct PairMixing {
  /// Of the distribution Beta(alpha, alpha) of shares; 0: not mixed so. With both, each sample takes one at random.
  double mixup = 0;
  double cutmix = 0;
  /// The fields that are mixed: numbers (H, W, C) after their transforms; one i32.
  const char *image = "image", *label = "label";

  bool any() const { return mixup > 0 || cutmix > 0; }
};

namespace detail {

/// The part of an image that cutmix takes from the neighbour; empty under mixup.
struct MixedPart {
  std::int64_t left = 0, top = 0, width = 0, height = 0;
};

/// How one sample is mixed.
struct PairShare {
  double own = 1;  ///< The share of its own label.
  bool cut = false;
  MixedPart part = {};
};

class PairMixer {
 public:
  /// `row`: the images in the batch. ExitCode::usage for an alpha outside [0, 2] and for rows that cannot be mixed.
  PairMixer(const PairMixing& mixing, std::uint64_t seed, const RowType& row);

  /// mixup: the share is drawn from Beta(alpha, alpha) (Zhang et al. 2017, arXiv:1710.09412). cutmix: such a share says
  /// how large a rectangle of the image's form is, around a random point; what of it lies inside counts (Yun et al.
  /// 2019, arXiv:1905.04899).
  PairShare share_of(std::uint64_t position) const;
  /// own = share own + (1 - share) neighbour, or a part of the neighbour put into own. Images of row.bytes() bytes.
  void mix(const PairShare& share, std::byte* own, const std::byte* neighbour) const;

 private:
  PairMixing mixing_;
  std::uint64_t seed_;
  RowType row_;
};

}  // namespace detail
}  // namespace trireme
