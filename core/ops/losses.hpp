// Losses beside cross-entropy, of f32, f64 or 16-bit predictions, with gradients. As there, each gives the *sum* over
// its samples, added up in f64, and how many elements or samples counted: the mean is their quotient, whatever number
// of parts a batch is cut into. Targets are constants. Dim 0 is the sample.
#pragma once

#include "core/ops/cross_entropy.hpp"

namespace trireme::ops {

/// loss and totals as of cross_entropy; totals[1] counts what is said below, totals[2] is 0.
using LossResult = CrossEntropyResult;

/// What predictions x (B, ...) are compared with: a tensor of their shape and type.
struct PointTargets {
  Tensor targets;
  /// f32 (B) or an empty handle: the factor of each sample; one of weight 0 is padding.
  Tensor weights = {};
};

/// Sums of (x - t)^2; counts elements.
LossResult squared_loss(Context& context, const Value& x, const PointTargets& t);
/// Sums of |x - t|; counts elements.
LossResult absolute_loss(Context& context, const Value& x, const PointTargets& t);
/// Sums of (x - t)^2 / (2 width) where |x - t| < width, else |x - t| - width / 2 (Girshick 2015, arXiv:1504.08083);
/// counts elements.
LossResult smooth_l1_loss(Context& context, const Value& x, const PointTargets& t, double width = 1);
/// Sums of -(positive t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))) for logits x and targets of [0, 1]; counts
/// elements.
LossResult binary_cross_entropy(Context& context, const Value& x, const PointTargets& t, double positive = 1);
/// Sums of max(0, margin - t x) for targets 1 and -1; counts elements.
LossResult hinge_loss(Context& context, const Value& x, const PointTargets& t, double margin = 1);
/// The Kullback-Leibler divergence from x to t: sums of t (log t - x) for probabilities t and logarithms x of them;
/// counts samples.
LossResult kl_divergence(Context& context, const Value& x, const PointTargets& t);

struct LabelTargets {
  Tensor labels;        ///< i32 (rows).
  Tensor weights = {};  ///< f32 (rows) or an empty handle.
};
/// Sums over rows of mean over classes c of max(0, margin - x[label] + x[c]), c not the label (Crammer, Singer 2001):
/// x (rows, classes); counts rows. A label outside the classes is an Error where it is in host memory, else the row's
/// loss is not a number.
LossResult multi_class_hinge(Context& context, const Value& x, const LabelTargets& t, double margin = 1);

struct CtcTargets {
  Tensor labels;        ///< i32 (B, L); what stands behind a target's length is not looked at.
  Tensor frames;        ///< i32 (B): frames of each sample, at most T.
  Tensor lengths;       ///< i32 (B): labels of each sample, at most L.
  Tensor weights = {};  ///< f32 (B) or an empty handle.
  std::int32_t blank = 0;
  /// What a target that the frames cannot spell costs: infinitely much, or nothing.
  enum class Impossible : std::uint8_t { infinite, ignored };
  Impossible impossible = Impossible::infinite;
};
/// Connectionist temporal classification (Graves et al. 2006, "Connectionist temporal classification: labelling
/// unsegmented sequence data with recurrent neural networks"): x (B, T, C) are logarithms of probabilities
/// (log_softmax); counts samples. Keeps a number per frame and state in f32 (f64 for f64).
LossResult ctc_loss(Context& context, const Value& x, const CtcTargets& t);

struct Pairs {
  Value queries, keys;  ///< (B, C) each; row i of one belongs to row i of the other.
};
/// InfoNCE (van den Oord et al. 2018, arXiv:1807.03748): cross-entropy of the cosine similarities of each query with
/// all keys of the whole batch, over all parts of it, divided by the temperature; counts queries. Every part must hold
/// the same number of rows.
LossResult contrastive_loss(Context& context, const Pairs& pairs, double temperature = 0.07);

}  // namespace trireme::ops
