// Convolutions on a GPU by cuDNN: channels-last images of f32 (bf16, f16), by algorithms that give the same bits each
// time. Each function returns false where the library has none for these extents or this type; the plain text then
// computes it. Internal to core/ops.
#pragma once

#include "core/ops/conv2d_calls.hpp"

namespace trireme::ops::cudnn {

bool conv_forward(Context& context, const ConvForwardCall& call);
bool conv_data_gradient(Context& context, const ConvDataGradientCall& call);
/// The filter's gradient alone, not the bias'.
bool conv_filter_gradient(Context& context, const ConvFilterGradientCall& call);

}  // namespace trireme::ops::cudnn
