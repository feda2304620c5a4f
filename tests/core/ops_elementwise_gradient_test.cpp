// Rows of the gradient check for the ops that compute each element alone.
#include "core/ops/activation.hpp"
#include "core/ops/elementwise.hpp"
#include "tests/support/gradient_check.hpp"

namespace trireme {
namespace {

using Binary = Value (*)(Context&, const Value&, const Value&);

/// A constant of x's shape, type and device.
Value threes(Context& context, const Value& x) {
  if (context.on_meta()) return Tensor::empty(x.shape(), x.dtype(), Device::meta());
  return with_floating(x.dtype(), "test", [&](auto zero) -> Value {
    using T = decltype(zero);
    return Tensor::from(std::vector<T>(static_cast<std::size_t>(x.elements()), T{3}), x.shape(), context.device());
  });
}

/// Every way two operands may fit: one shape, a repeated row or element on either side, the same value twice.
std::vector<GradientCase> binary_rows(const std::string& op, Binary function, double low) {
  const auto call = [function](Context& c, const Inputs& x) { return function(c, x[0], x[1]); };
  const auto row = [&](const std::string& variant, std::vector<Shape> shapes) {
    return GradientCase{
        .op = op, .variant = variant, .shapes = std::move(shapes), .function = call, .low = low, .high = 2};
  };
  GradientCase twice = row("same_value", {{2, 3}});
  twice.function = [function](Context& c, const Inputs& x) { return function(c, x[0], x[0]); };
  GradientCase left_constant = row("left_constant", {{2, 3}});
  left_constant.function = [function](Context& c, const Inputs& x) { return function(c, threes(c, x[0]), x[0]); };
  GradientCase right_constant = row("right_constant", {{2, 3}});
  right_constant.function = [function](Context& c, const Inputs& x) { return function(c, x[0], threes(c, x[0])); };
  if (op == "div") twice.f32_tolerance = 1e-3;  // the gradient of x / x is 0, so nothing to be relative to
  return {row("", {{2, 3, 5}, {2, 3, 5}}),   row("bias", {{2, 3, 5}, {5}}), row("bias_left", {{5}, {7, 5}}),
          row("block", {{3, 2, 5}, {2, 5}}), row("wide", {{3, 37}, {37}}),  row("one", {{3, 7}, {1}}),
          row("one_left", {{1}, {3, 7}}),    row("unit", {{1, 5}, {5}}),    std::move(twice),
          std::move(left_constant),          std::move(right_constant)};
}

const GradientCases adds(binary_rows("add", ops::add, -2));
const GradientCases subs(binary_rows("sub", ops::sub, -2));
const GradientCases muls(binary_rows("mul", ops::mul, -2));
const GradientCases divs(binary_rows("div", ops::div, 0.5));

using Unary = Value (*)(Context&, const Value&);

GradientCase unary(const std::string& op, Unary function, double low = -2) {
  return {.op = op,
          .variant = "",
          .shapes = {{3, 7}},
          .function = [function](Context& c, const Inputs& x) { return function(c, x[0]); },
          .low = low};
}

const GradientCases unaries({
    unary("exp", ops::exp),
    unary("log", ops::log, 0.2),
    unary("sqrt", ops::sqrt, 0.2),
    unary("square", ops::square),
    unary("abs", ops::abs),
    unary("relu", ops::relu),
    unary("tanh", ops::tanh),
    unary("sigmoid", ops::sigmoid, -6),
    unary("silu", ops::silu, -6),
    {.op = "scale",
     .variant = "",
     .shapes = {{3, 7}},
     .function = [](Context& c, const Inputs& x) { return ops::scale(c, x[0], -1.5); }},
    {.op = "add_scalar",
     .variant = "",
     .shapes = {{3, 7}},
     .function = [](Context& c, const Inputs& x) { return ops::add_scalar(c, x[0], 0.75); }},
    {.op = "gelu",
     .variant = "erf",
     .shapes = {{3, 7}},
     .function = [](Context& c, const Inputs& x) { return ops::gelu(c, x[0]); },
     .low = -4,
     .high = 4},
    {.op = "gelu",
     .variant = "tanh",
     .shapes = {{3, 7}},
     .function = [](Context& c, const Inputs& x) { return ops::gelu(c, x[0], ops::GeluForm::tanh_fit); },
     .low = -4,
     .high = 4},
});

GradientCase activation(const std::string& name, ops::Activation which) {
  return {.op = "activate", .variant = name, .shapes = {{5}}, .function = [which](Context& c, const Inputs& x) {
            return ops::activate(c, x[0], which);
          }};
}

const GradientCases activations({activation("none", ops::Activation::none), activation("relu", ops::Activation::relu),
                                 activation("gelu", ops::Activation::gelu),
                                 activation("gelu_tanh_fit", ops::Activation::gelu_tanh_fit),
                                 activation("tanh", ops::Activation::tanh),
                                 activation("sigmoid", ops::Activation::sigmoid),
                                 activation("silu", ops::Activation::silu)});

}  // namespace
}  // namespace trireme
