// Activation functions, element by element, in f32 or f64, with gradients. Each keeps one tensor for its gradient: its
// output where the slope follows from it (relu, tanh, sigmoid), else its input.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

enum class GeluForm : std::uint8_t {
  erf,      ///< x Phi(x), Phi the normal distribution function.
  tanh_fit  ///< x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
};

/// max(x, 0); slope 0 at 0.
Value relu(Context& context, const Value& x);
/// Hendrycks and Gimpel 2016, arXiv:1606.08415.
Value gelu(Context& context, const Value& x, GeluForm form = GeluForm::erf);
Value tanh(Context& context, const Value& x);
/// 1 / (1 + exp(-x)).
Value sigmoid(Context& context, const Value& x);
/// x sigmoid(x).
Value silu(Context& context, const Value& x);

/// x, or slope * x below 0 (Maas, Hannun, Ng 2013).
Value leaky_relu(Context& context, const Value& x, double slope = 0.01);
/// log(1 + exp(x)).
Value softplus(Context& context, const Value& x);

/// The choice of a layer's activation; gelu is the erf form.
enum class Activation : std::uint8_t { none, relu, gelu, gelu_tanh_fit, tanh, sigmoid, silu };
/// The chosen function; none returns x itself.
Value activate(Context& context, const Value& x, Activation activation);

}  // namespace trireme::ops
