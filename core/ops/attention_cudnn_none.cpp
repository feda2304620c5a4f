// Attention in a build without the headers of cuDNN's frontend: the common text computes it.
#ifndef TRIREME_HAS_CUDNN_FRONTEND

#include "core/ops/attention_cudnn.hpp"

namespace trireme::ops::cudnn {

bool attends(const Context&, const AttentionCall&) { return false; }
void attention(Context&, const AttentionCall&, const Tensor&, const Tensor&) {}
void attention_gradient(Context&, const AttentionGradientCall&) {}

}  // namespace trireme::ops::cudnn

#endif
