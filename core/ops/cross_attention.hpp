// Attention of queries over the keys and values of another sequence, or of the same one with what the block-wise form
// (attention.hpp) does not know: lengths of the keys, a bias of the scores, dropout. f32, f64 or 16 bits, with
// gradients (Vaswani et al. 2017, arXiv:1706.03762). Scores (B, heads, queries, keys) are held twice; where they are
// many, for some queries at a time only, which are computed again in backward: memory is then linear in both lengths.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

struct AttentionInputs {
  Value queries;       ///< (B, Tq, heads * head_size).
  Value keys, values;  ///< (B, Tk, heads * head_size).
  Value bias = {};     ///< (heads, Tq, Tk) or nothing: added to the scaled scores.
};

struct CrossAttentionOptions {
  std::int64_t heads = 1;
  double scale = 0;         ///< Of the dot products; 0: 1 / sqrt(head_size).
  double dropout = 0;       ///< Of the weights, in training.
  Tensor key_lengths = {};  ///< i32 (B) or an empty handle for Tk: keys of each sample; a query that sees none gives 0.
  enum class Mask : std::uint8_t { none, causal } mask = Mask::none;  ///< causal: query q sees keys to q + Tk - Tq.
  /// Of a sample: more of them are not held together, but always those of one query. Nothing else may decide, or random
  /// draws would depend on how a batch is split.
  std::int64_t scores_at_once = std::int64_t{1} << 20;
};

/// -> (B, Tq, heads * head_size).
Value cross_attention(Context& context, const AttentionInputs& inputs, const CrossAttentionOptions& options);

/// A bias by the distance of key and query, cut off at +- (rows - 1) / 2: table (rows, heads), rows odd ->
/// (heads, queries, keys). The last query stands at the last key.
struct BiasExtents {
  std::int64_t queries, keys;
};
Value relative_bias(Context& context, const Value& table, const BiasExtents& extents);

}  // namespace trireme::ops
