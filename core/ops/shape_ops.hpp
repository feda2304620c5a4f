// Other shapes of the same elements, parts of a tensor, tensors joined. f32 or f64, with gradients. reshape and a slice
// of dim 0 share memory with their input; the others copy.
#pragma once

#include <span>

#include "core/tape/context.hpp"

namespace trireme::ops {

/// The elements in the same order; the counts must agree.
Value reshape(Context& context, const Value& x, const Shape& shape);
/// Dim k of the result is dim order[k] of x; `order` holds every dim once.
Value permute(Context& context, const Value& x, std::span<const int> order);
/// Exchanges the last two dims.
Value transpose(Context& context, const Value& x);
/// The inputs one after the other along `dim` (negative: from the end); their other dims agree.
Value concat(Context& context, std::span<const Value> inputs, int dim);

struct Range {
  int dim = 0;  ///< Negative: from the end.
  std::int64_t first = 0, count = 0;
};
/// Elements [first, first + count) of a dim.
Value slice(Context& context, const Value& x, const Range& range);

}  // namespace trireme::ops
