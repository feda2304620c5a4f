// Layer normalisation over the last dim, f32 or f64, with gradients (Ba, Kiros, Hinton 2016, arXiv:1607.06450). Keeps
// its input and two numbers per row.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

/// What the normalised values are multiplied by and what is added; both have the shape of the last dim.
struct GainBias {
  Value gain, bias;
};

/// (x - mean) / sqrt(variance + epsilon) * gain + bias, with mean and (biased) variance of each row.
Value layer_norm(Context& context, const Value& x, const GainBias& parameters, double epsilon = 1e-5);

/// A residual connection: what goes on past the layer, and its norm, which goes into the layer.
struct SumNorm {
  Value sum, normed;
};

/// What a norm of a sum adds up; both have one shape.
struct Summands {
  const Value &x, &residual;
};

/// sum = x + residual and the layer norm of sum, in one pass over memory. Keeps sum and two numbers per row; its
/// gradient is added to that of sum in place and handed to both summands without a copy.
SumNorm add_layer_norm(Context& context, const Summands& summands, const GainBias& parameters, double epsilon = 1e-5);

}  // namespace trireme::ops
