#include "core/ops/activation.hpp"

#include "core/kernels/activation.hpp"
#include "core/ops/map.hpp"

namespace trireme::ops {

Value relu(Context& context, const Value& x) { return map_elements<kernels::Relu>(context, x, Keeps::output); }

Value gelu(Context& context, const Value& x, GeluForm form) {
  if (form == GeluForm::erf) return map_elements<kernels::GeluErf>(context, x, Keeps::input);
  return map_elements<kernels::GeluTanh>(context, x, Keeps::input);
}

Value tanh(Context& context, const Value& x) { return map_elements<kernels::Tanh>(context, x, Keeps::output); }

Value sigmoid(Context& context, const Value& x) { return map_elements<kernels::Sigmoid>(context, x, Keeps::output); }

Value silu(Context& context, const Value& x) { return map_elements<kernels::Silu>(context, x, Keeps::input); }

Value leaky_relu(Context& context, const Value& x, double slope) {
  return map_elements_with<kernels::LeakyRelu>(context, x, {slope});
}

Value softplus(Context& context, const Value& x) { return map_elements_with<kernels::Softplus>(context, x, {}); }

Value activate(Context& context, const Value& x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return relu(context, x);
    case Activation::gelu:
      return gelu(context, x);
    case Activation::gelu_tanh_fit:
      return gelu(context, x, GeluForm::tanh_fit);
    case Activation::tanh:
      return tanh(context, x);
    case Activation::sigmoid:
      return sigmoid(context, x);
    case Activation::silu:
      break;
  }
  return silu(context, x);
}

}  // namespace trireme::ops
