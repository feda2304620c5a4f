// Attention in f32 on a CPU: products of blocks in registers, one task per block of queries (forward) or per head
// (gradient), the same sums in the same order for any number of threads.
#pragma once

#include "core/kernels/attention.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

/// As the kernel AttentionForward over `batch` sequences.
void attention_on_cpu(Context& context, const kernels::AttentionForward<float>& call, std::int64_t batch);

/// As the kernels of the gradient over `batch` sequences; delta is written first.
void attention_gradient_on_cpu(Context& context, const kernels::AttentionGradientRows<float>& call, std::int64_t batch);

}  // namespace trireme::ops
