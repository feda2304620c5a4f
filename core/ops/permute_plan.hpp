// How a permutation of dims is carried out: dims that stay neighbours are merged, then one of two kernels
// (core/kernels/permute.hpp) is chosen by whether the innermost dim stays innermost.
#pragma once

#include <span>

#include "core/kernels/permute.hpp"
#include "core/tensor/shape.hpp"

namespace trireme::ops {

struct PermutePlan {
  kernels::PermuteDims outer;  ///< All dims but the inner ones below.
  std::int64_t rows;           ///< Product of the outer extents.
  bool same_inner;             ///< Rows of y_inner elements are contiguous on both sides: PermuteRows.
  std::int64_t x_inner, y_inner;
  std::int64_t x_stride, y_stride;  ///< Of y's inner dim in x, and of x's inner dim in y.
};

/// `order` as in ops::permute, already checked.
PermutePlan plan_permute(const Shape& x, std::span<const int> order);

}  // namespace trireme::ops
