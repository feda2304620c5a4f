// What 16-bit elements need where arithmetic is in f32 alone: copies of operands in f32, made part by part so that they
// stay small. Internal to core/ops.
#pragma once

#include <algorithm>

#include "core/tape/context.hpp"
#include "core/tape/write.hpp"

namespace trireme::ops {

/// x itself where it is f32 or a null handle, else its elements in f32, in the step's memory.
inline Tensor widened(Context& context, const Tensor& x) {
  if (!x || x.dtype() == DType::f32) return x;
  const Tensor out = context.empty(x.shape(), DType::f32);
  write(context.stream(), {x}, {out, Write::overwrite});
  return out;
}

/// f(first, count) over `rows` rows in parts of at most 64 MiB of f32, when a row needs `floats` of them, or of one
/// row; also once where there are none.
template <class F>
void for_each_part(std::int64_t rows, std::int64_t floats, const F& f) {
  constexpr std::int64_t most = std::int64_t{1} << 24;
  const std::int64_t each = std::max<std::int64_t>(1, most / std::max<std::int64_t>(1, floats));
  for (std::int64_t first = 0; first == 0 || first < rows; first += each) f(first, std::min(each, rows - first));
}

}  // namespace trireme::ops
