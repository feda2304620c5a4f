// Softmax over the last dim and its logarithm, f32 or f64, with gradients; both keep their output.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

/// exp(x - max) / sum(exp(x - max)).
Value softmax(Context& context, const Value& x);
/// x - max - log(sum(exp(x - max))).
Value log_softmax(Context& context, const Value& x);

}  // namespace trireme::ops
