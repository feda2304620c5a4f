// Arithmetic element by element, in f32 or f64, with gradients. Two operands have one dtype and either one shape, or
// the smaller one's shape is that of the trailing dims of the larger (a bias (C) on (B, H, W, C)), or it has one
// element; then it counts for every position of the leading dims, and its gradient is a sum over them in a fixed order.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

Value add(Context& context, const Value& a, const Value& b);
Value sub(Context& context, const Value& a, const Value& b);
Value mul(Context& context, const Value& a, const Value& b);
/// a / b.
Value div(Context& context, const Value& a, const Value& b);

/// factor * x.
Value scale(Context& context, const Value& x, double factor);
/// x + offset.
Value add_scalar(Context& context, const Value& x, double offset);

Value exp(Context& context, const Value& x);
/// The natural logarithm; not a number below 0.
Value log(Context& context, const Value& x);
Value sqrt(Context& context, const Value& x);
Value square(Context& context, const Value& x);
/// x to the power `exponent`; not a number below 0 unless the exponent is whole.
Value power(Context& context, const Value& x, double exponent);
/// The number of [low, high] nearest to x; slope 1 inside and at the ends, else 0.
Value clamp(Context& context, const Value& x, double low, double high);
/// |x|; slope 0 at 0.
Value abs(Context& context, const Value& x);

}  // namespace trireme::ops
