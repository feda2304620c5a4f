// Rotary positions (Su et al. 2021, arXiv:2104.09864) on packed queries, keys and values, f32 or f64, with gradients.
// Elements i and i + head_size / 2 of a head are a pair, as in Hugging Face's Llama.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

struct RotaryOptions {
  std::int64_t heads = 1, kv_heads = 1, head_size = 2;
  double base = 10000;
  /// Position of the first token of each row, where position_of is not given.
  std::int64_t first_position = 0;
  /// i32 (B, T): the position of each token, or an empty handle for first_position + t.
  Tensor position_of = {};
  /// Given positions are below this; 0: below first_position + T.
  std::int64_t positions = 0;
};

/// qkv (B, T, (heads + 2 kv_heads) * head_size) with the heads of queries and keys turned by their position. A position
/// outside [0, positions) is an Error naming it where positions are in host memory; on a GPU the turned heads become
/// not a number. Changes the memory in place where nobody else holds it: hand the value over (std::move) for that.
Value rotary(Context& context, Value qkv, const RotaryOptions& options);

}  // namespace trireme::ops
