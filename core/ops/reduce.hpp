// Sums and means over a whole tensor, its first dim or its last one, and the position of the largest element. f32 or
// f64; sums of f32 over a whole tensor are joined in f64, every sum in an order that depends on the shape alone.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

/// What is summed away: everything (the result has the shape (1)), dim 0, or the last dim.
enum class Over : std::uint8_t { all, first_dim, last_dim };

Value sum(Context& context, const Value& x, Over over = Over::all);
/// Throws where there is nothing to divide by (an empty dim).
Value mean(Context& context, const Value& x, Over over = Over::all);

/// The index of the largest element along the last dim, the first of equal ones: (..., n) -> (...) of i32. Elements
/// that are not a number are never largest. Has no gradient.
Tensor argmax(Context& context, const Tensor& x);

/// For gradient functions of ops that repeat an input over leading dims: writes alpha * the sum of x over all but its
/// trailing dims, where x (..., n) and the destination has n elements.
void column_sum_into(Context& context, const Tensor& x, const Destination& to, double alpha);

}  // namespace trireme::ops
