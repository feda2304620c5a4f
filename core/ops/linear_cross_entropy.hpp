// The head of a language model and its loss in one: logits = hidden weight^T over a large vocabulary, softmax,
// cross-entropy. f32 or f64, with gradients. Never holds more logits than it may (after Wijmans et al. 2024,
// arXiv:2411.09009, who go further).
#pragma once

#include "core/ops/cross_entropy.hpp"

namespace trireme::ops {

struct HeadParameters {
  const Value& hidden;  ///< (N, C).
  const Value& weight;  ///< (V, C).
};

struct LinearCrossEntropyOptions {
  CrossEntropyOptions loss = {};
  /// Logits are made for as many rows at a time as fit. Where all fit they are kept and become their gradient in place,
  /// else they are computed again in backward.
  std::int64_t chunk_bytes = std::int64_t{128} << 20;
};

/// As cross_entropy of the logits; labels i32 (N).
CrossEntropyResult linear_cross_entropy(Context& context, const HeadParameters& head, const Tensor& labels,
                                        const LinearCrossEntropyOptions& options = {});

}  // namespace trireme::ops
