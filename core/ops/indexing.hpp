// Ops that choose: between two tensors, rows and elements by index, the largest and smallest of a row; and running
// sums. f32, f64 or 16 bits, with gradients. Along the last dim unless said otherwise: permute another dim there first.
// Indices are i32. One that does not exist is an Error naming its place where the indices are in host memory; on a GPU
// what it should have taken is not a number, and it gets no gradient.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

/// What `where` chooses from; one shape and type.
struct Choice {
  Value yes, no;
};
/// yes where condition (u8, of the same shape) is not 0, else no.
Value where(Context& context, const Tensor& condition, const Choice& choice);

/// Rows of x by number: x (n, ...), index (m) -> (m, ...).
Value gather(Context& context, const Value& x, const Tensor& index);
/// y[..., j] = x[..., index[..., j]]: x (..., n), index (..., m) -> (..., m).
Value take_along(Context& context, const Value& x, const Tensor& index);
/// y[..., c] = the sum of x[..., j] with index[..., j] = c, in order of j: x, index (..., m) -> (..., features).
Value scatter_along(Context& context, const Value& x, const Tensor& index, std::int64_t features);

struct Chosen {
  Value values;    ///< (..., k).
  Tensor indices;  ///< i32, of the same shape.
};
/// The k largest from the largest on, of equal ones the first first. Elements that are not a number are never chosen;
/// where fewer than k numbers are there, the index is -1 and the value not a number.
Chosen top_k(Context& context, const Value& x, std::int64_t k);
/// The largest and the smallest: (..., n) -> (...). The gradient goes to the first of equal ones.
Value max_along(Context& context, const Value& x);
Value min_along(Context& context, const Value& x);
/// Where the smallest is, as argmax (reduce.hpp); -1 where no element is a number.
Tensor argmin(Context& context, const Tensor& x);

/// y[..., c] = x[..., 0] + ... + x[..., c]. Joined from runs of 256, in a fixed order.
Value cumulative_sum(Context& context, const Value& x);

}  // namespace trireme::ops
