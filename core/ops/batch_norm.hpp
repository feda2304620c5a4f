// Batch normalisation per channel (Ioffe and Szegedy 2015, arXiv:1502.03167), f32 or f64, with gradients. Results do
// not depend on how many parts the batch is split into: statistics are over the whole batch of all parts, or over fixed
// groups of samples.
#pragma once

#include <variant>

#include "core/ops/activation.hpp"
#include "core/ops/layer_norm.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

/// Mean and variance over the whole batch: one message to all parts in forward, one in backward.
struct Synchronised {};
/// Mean and variance over each `size` consecutive samples of the stream (Hoffer, Hubara, Soudry 2017,
/// arXiv:1705.08741): no message but for the running statistics. Every part must hold whole groups, which is an error
/// if not so.
struct GhostGroups {
  std::int64_t size = 32;
};

struct BatchNormOptions {
  double momentum = 0.1;  ///< The share of the new batch in the running statistics.
  double epsilon = 1e-5;
  std::variant<Synchronised, GhostGroups> statistics = Synchronised{};
  /// relu is part of the same pass; other activations follow it.
  Activation activation = Activation::none;
};

/// Statistics for evaluation, (channels) each; training changes them in place, the same way in all parts.
struct RunningStatistics {
  Tensor mean, variance;
};

struct BatchNormParameters {
  Value gain, bias;  ///< (channels) each.
  RunningStatistics running;
};

/// activation((x - mean) / sqrt(variance + epsilon) * gain + bias) for x (rows, C) or (B, H, W, C), gain and bias (C).
/// Training normalises by the batch's mean and biased variance (sum / n) and mixes its mean and unbiased variance
/// (sum / (n - 1), as is usual; for groups the average over them) into the running statistics, by which evaluation
/// normalises. Gradients are exact for the statistics used; those of gain and bias are this part's contribution.
Value batch_norm(Context& context, const Value& x, const BatchNormParameters& parameters,
                 const BatchNormOptions& options = {});

}  // namespace trireme::ops
