// Products of matrices and the dense layer, f32 or f64, with gradients. f32 on a CPU runs in oneDNN, the rest in the
// text of core/kernels/matmul_reference.hpp.
#pragma once

#include "core/ops/activation.hpp"
#include "core/ops/gemm.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

struct MatmulOptions {
  Transpose transpose_a = Transpose::no, transpose_b = Transpose::no;
};

/// op(a) op(b) over the last two dims: (..., m, k) x (..., k, n) -> (..., m, n). The leading dims are equal, or b has
/// none and counts for all of a's. With transpose_a a is (..., k, m), with transpose_b b is (..., n, k).
Value matmul(Context& context, const Value& a, const Value& b, const MatmulOptions& options = {});

/// Which extent of a dense layer's weight comes first.
enum class WeightForm : std::uint8_t { outputs_inputs, inputs_outputs };

struct LinearParameters {
  Value weight;     ///< (outputs, inputs), or as `form` says.
  Value bias = {};  ///< (outputs), or nothing.
  WeightForm form = WeightForm::outputs_inputs;
};

/// activation(x weight^T + bias): (..., inputs) -> (..., outputs). Bias, ReLU and gelu_tanh_fit are part of the
/// product; other activations follow it.
Value linear(Context& context, const Value& x, const LinearParameters& parameters,
             Activation activation = Activation::none);

}  // namespace trireme::ops
