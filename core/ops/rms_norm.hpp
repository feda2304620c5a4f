// Root mean square normalisation over the last dim, f32 or f64, with gradients (Zhang, Sennrich 2019,
// arXiv:1910.07467). Keeps its input and one number per row.
#pragma once

#include "core/ops/layer_norm.hpp"

namespace trireme::ops {

/// x / sqrt(mean(x^2) + epsilon) * gain, with the mean of each row; gain has the shape of the last dim.
Value rms_norm(Context& context, const Value& x, const Value& gain, double epsilon = 1e-5);

/// sum = x + residual and the norm of sum, in one pass over memory; see add_layer_norm.
SumNorm add_rms_norm(Context& context, const Summands& summands, const Value& gain, double epsilon = 1e-5);

}  // namespace trireme::ops
