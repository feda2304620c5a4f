// Group and instance normalisation of channels-last images, f32, f64 or 16 bits, with gradients (Wu, He 2018,
// arXiv:1803.08494; Ulyanov et al. 2016, arXiv:1607.08022). Keeps its input and two numbers per sample and group. Each
// sample is normalised alone, so nothing depends on how a batch is split.
#pragma once

#include "core/ops/layer_norm.hpp"

namespace trireme::ops {

struct GroupNormOptions {
  std::int64_t groups = 1;  ///< Divides the channels; neighbouring channels make a group.
  double epsilon = 1e-5;
};

/// (x - mean) / sqrt(variance + epsilon) * gain + bias with mean and (biased) variance of each sample and group:
/// x (B, ..., C), gain and bias (C), or both nothing for 1 and 0.
Value group_norm(Context& context, const Value& x, const GainBias& parameters, const GroupNormOptions& options);
/// The same with groups of one channel.
Value instance_norm(Context& context, const Value& x, const GainBias& parameters, double epsilon = 1e-5);

}  // namespace trireme::ops
