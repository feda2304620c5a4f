// Token and learned position embeddings, f32 or f64, with gradients: rows of tables looked up by index. The gradient of
// a table is summed in the order of the tokens and touches only the rows that were used, so that it can be added to
// that of a head that shares the table.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

struct EmbeddingParameters {
  Value table;           ///< (V, C).
  Value positions = {};  ///< (Tmax, C), or nothing.
};

struct EmbeddingOptions {
  /// Position of the first token of each row, where position_of is not given.
  std::int64_t first_position = 0;
  /// i32 (B, T): the position of each token, or an empty handle for first_position + t.
  Tensor position_of = {};
};

/// table[id] + positions[position]: ids i32 (B, T) -> (B, T, C). An id outside [0, V) or a position outside [0, Tmax)
/// is an Error naming row and index where the indices are in host memory; on a GPU its result is not a number, and it
/// gets no gradient.
Value embedding(Context& context, const Tensor& ids, const EmbeddingParameters& parameters,
                const EmbeddingOptions& options = {});

}  // namespace trireme::ops
