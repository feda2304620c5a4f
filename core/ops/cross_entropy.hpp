// Cross-entropy of rows of logits against class labels, with label smoothing (Szegedy et al. 2016, arXiv:1512.00567),
// an ignored label and weights of rows. Softmax and its gradient are fused: only two numbers per row are kept.
#pragma once

#include <optional>

#include "core/tape/context.hpp"

namespace trireme::ops {

struct CrossEntropyOptions {
  /// The target is (1 - smoothing) at the label plus smoothing / classes everywhere; in [0, 1).
  double smoothing = 0;
  /// Rows with this label count for nothing.
  std::optional<std::int32_t> ignore = std::nullopt;
  /// f32 (rows) or an empty handle: factor of each row in loss and counts; a row of weight 0 is padding, its label is
  /// not looked at.
  Tensor weights = {};
};

struct CrossEntropyResult {
  /// The *sum* of the rows' losses, shape (1), f64 for logits of f64, else f32; summed in f64.
  Value loss;
  /// f64 (3), on the logits' device: the sum of losses, the sum of weights of the rows that count, and of those among
  /// them whose largest logit is at the label.
  Tensor totals;

  /// The same on the host; these wait for the device.
  double loss_sum() const { return totals.slice(0, 1).to_vector<double>()[0]; }
  double target_count() const { return totals.slice(1, 1).to_vector<double>()[0]; }
  double correct() const { return totals.slice(2, 1).to_vector<double>()[0]; }
};

/// logits (rows, classes) of a floating type; labels i32 (rows). A label outside [0, classes) that is not the ignored
/// one is an Error naming row and label where the labels are in host memory; on a GPU the row's loss becomes not a
/// number.
CrossEntropyResult cross_entropy(Context& context, const Value& logits, const Tensor& labels,
                                 const CrossEntropyOptions& options = {});

}  // namespace trireme::ops
