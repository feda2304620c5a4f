// Products of 16-bit operands by way of f32, for devices whose library has none: operands are converted, multiplied and
// summed in f32, and the sums rounded once. Internal to core/ops.
#pragma once

#include "core/ops/gemm.hpp"

namespace trireme::ops {

/// The product, its bias and ReLU, for 16-bit operands; the destination is of their type or f32. One copy of the right
/// operand in f32 is in memory at a time, or of the result where the left operand counts as transposed; all else comes
/// in parts.
void half_product_into(Context& context, const Product& product, const Destination& to, Backend backend);

}  // namespace trireme::ops
