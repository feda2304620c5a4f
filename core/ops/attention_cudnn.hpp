// Attention of bf16 and f16 on a GPU by cuDNN's fused kernels, which never write the matrix of scores. Only in builds
// that were given the headers of cuDNN's frontend (TRIREME_CUDNN_FRONTEND). Internal to core/ops.
#pragma once

#include "core/ops/attention.hpp"

namespace trireme::ops::cudnn {

/// The packed input and its kind of attention; heads of keys may be fewer, and a window may be set.
struct AttentionCall {
  const Tensor& qkv;
  const AttentionOptions& options;
};

/// Whether the fused kernels do this: 16-bit elements, heads of a multiple of 8 up to 128 elements, no documents.
bool attends(const Context& context, const AttentionCall& call);

/// y and the logarithms of the sums of exponentials, (B, heads, T) of f32.
void attention(Context& context, const AttentionCall& call, const Tensor& y, const Tensor& log_sum);

struct AttentionGradientCall {
  AttentionCall forward;
  const Tensor &y, &log_sum, &dy;
  Destination dqkv;
};
/// The same bits each time where the library can; a warning says where it cannot.
void attention_gradient(Context& context, const AttentionGradientCall& call);

}  // namespace trireme::ops::cudnn
