// Causal self-attention on packed queries, keys and values, f32 or f64, with gradients (Vaswani et al. 2017,
// arXiv:1706.03762), computed in blocks with memory linear in the sequence (Dao 2023, arXiv:2307.08691); grouped heads
// (Ainslie et al. 2023, arXiv:2305.13245), sliding windows, packed documents, and a cache of keys and values for
// generation. f32 on a CPU runs in core/ops/attention_cpu.cpp, the rest in the text of core/kernels/attention.hpp.
#pragma once

#include "core/ops/gemm.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

struct AttentionOptions {
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;  ///< Of keys and values; divides heads.
  std::int64_t head_size = 1;
  double scale = 0;         ///< Of the dot products; 0: 1 / sqrt(head_size).
  std::int64_t window = 0;  ///< A token sees itself and the window - 1 tokens before it; 0: all before it.
  /// i32 (B, T) or an empty handle: where in its row the document of each token starts; it sees nothing before that.
  Tensor document_start = {};
  enum class Mask : std::uint8_t { causal, none };
  Mask mask = Mask::causal;  ///< none: every token sees all of its row; without window and documents.
};

/// qkv (B, T, (heads + 2 kv_heads) * head_size), in the last dim all heads of queries, then of keys, then of values ->
/// (B, T, heads * head_size). Keeps its input, its output and a number per head and token. The gradient has the same
/// bits for any number of threads. A document_start outside [0, t] is an Error where it is in host memory. `backend`
/// reference is the common text, for comparisons.
Value attention(Context& context, const Value& qkv, const AttentionOptions& options, Backend backend = Backend::best);

/// Keys and values of the tokens that a model has read, for one layer.
struct KeyValueCache {
  Tensor keys, values;  ///< (B, Tmax, kv_heads * head_size) each.
  Tensor lengths;       ///< i32 (B): how many tokens of each row are in the cache. The caller counts them up.
};

/// Puts the keys and values of the new tokens qkv (B, T, (heads + 2 kv_heads) * head_size) behind those in the cache
/// and attends over all of them -> (B, T, heads * head_size). Every token gets the same bits as from attention() over
/// its whole row, however the row was cut. Tokens beyond Tmax are an Error where lengths are in host memory; on a GPU
/// their result is not a number.
Tensor attend_cached(Context& context, const Tensor& qkv, const KeyValueCache& cache, const AttentionOptions& options);

}  // namespace trireme::ops
