#include "core/ops/matmul.hpp"

#include <algorithm>
#include <optional>

#include "core/ops/reduce.hpp"

namespace trireme::ops {
namespace {

Transpose other(Transpose t) { return t == Transpose::no ? Transpose::yes : Transpose::no; }

/// A product and whether its right operand is one matrix for all batches.
struct Plan {
  std::int64_t batches, m, n, k;
  Transpose transpose_a, transpose_b;
  bool shared_b;
  Shape out;
};

Shape leading(const Shape& shape) { return Shape(shape.extents().first(static_cast<std::size_t>(shape.dims() - 2))); }

void check_operands(const Value& a, const Value& b) {
  require(a.shape().dims() >= 2 && b.shape().dims() >= 2, "matmul: {} and {} must both have at least 2 dims", a.shape(),
          b.shape());
  require(a.dtype() == b.dtype(), "matmul: the operands are {} and {}; give both the same type", name_of(a.dtype()),
          name_of(b.dtype()));
  require(b.shape().dims() == 2 || leading(a.shape()) == leading(b.shape()),
          "matmul: the leading dims of {} and {} differ; make them equal or give the right operand 2 dims", a.shape(),
          b.shape());
}

Plan plan_of(const Value& a, const Value& b, const MatmulOptions& options) {
  check_operands(a, b);
  const bool ta = options.transpose_a == Transpose::yes, tb = options.transpose_b == Transpose::yes;
  const std::int64_t m = a.shape()[ta ? -1 : -2], k = a.shape()[ta ? -2 : -1];
  const std::int64_t n = b.shape()[tb ? -2 : -1], k_of_b = b.shape()[tb ? -1 : -2];
  require(k == k_of_b, "matmul: {}{} times {}{}: the inner extents {} and {} differ", a.shape(),
          ta ? " transposed" : "", b.shape(), tb ? " transposed" : "", k, k_of_b);
  const std::int64_t batches = leading(a.shape()).elements();
  const Shape out = a.shape().with(-2, m).with(-1, n);
  const bool shared = b.shape().dims() == 2 && a.shape().dims() > 2;
  if (shared && !ta) return {1, batches * m, n, k, options.transpose_a, options.transpose_b, false, out};
  return {batches, m, n, k, options.transpose_a, options.transpose_b, shared && batches != 1, out};
}

Tensor batch_of(const Tensor& x, const Plan& plan, std::int64_t batch) {
  return x.reshape({plan.batches, x.elements() / plan.batches}).slice(batch, 1);
}

/// Runs `product` once, or once a batch where the right operand is shared; `each` says which tensors have batches.
struct Operands {
  Tensor a, b;
  Destination to;
  Product product;
  bool split_a, split_b, split_to;
};
void run(Context& context, const Plan& plan, Operands o) {
  o.product.a = o.a, o.product.b = o.b;
  if (!plan.shared_b) {
    o.product.batches = plan.batches;
    return product_into(context, o.product, o.to);
  }
  if (plan.batches == 0 && o.to.mode == Write::overwrite) o.to.tensor.fill_zero(context.stream());
  for (std::int64_t batch = 0; batch < plan.batches; ++batch) {
    if (o.split_a) o.product.a = batch_of(o.a, plan, batch);
    if (o.split_b) o.product.b = batch_of(o.b, plan, batch);
    Destination to = o.to;
    if (o.split_to) to.tensor = batch_of(o.to.tensor, plan, batch);
    if (!o.split_to && batch > 0) to.mode = Write::accumulate;
    product_into(context, o.product, to);
  }
}

Product sized(std::int64_t m, std::int64_t n, std::int64_t k, std::pair<Transpose, Transpose> transposes) {
  return {.a = {}, .b = {}, .m = m, .n = n, .k = k, .transpose_a = transposes.first, .transpose_b = transposes.second};
}

/// With y = op(a) op(b): d op(a) = dy op(b)^T, turned where a is.
void left_gradient(Context& context, Gradients& g, const Plan& plan, const Tensor& b) {
  const Tensor dy = g.output();
  const Destination to = g.to_stored(0);
  if (plan.transpose_a == Transpose::no) {
    const Product p = sized(plan.m, plan.k, plan.n, {Transpose::no, other(plan.transpose_b)});
    run(context, plan, {dy, b, to, p, true, false, true});
  } else {
    const Product p = sized(plan.k, plan.m, plan.n, {plan.transpose_b, Transpose::yes});
    run(context, plan, {b, dy, to, p, false, true, true});
  }
}

/// d op(b) = op(a)^T dy, turned where b is.
void right_gradient(Context& context, Gradients& g, const Plan& plan, const Tensor& a) {
  const Tensor dy = g.output();
  const Destination to = g.to_stored(1);
  if (plan.transpose_b == Transpose::no) {
    const Product p = sized(plan.k, plan.n, plan.m, {other(plan.transpose_a), Transpose::no});
    run(context, plan, {a, dy, to, p, true, true, false});
  } else {
    const Product p = sized(plan.n, plan.k, plan.m, {Transpose::yes, plan.transpose_a});
    run(context, plan, {dy, a, to, p, true, true, false});
  }
}

}  // namespace

Value matmul(Context& context, const Value& a, const Value& b, const MatmulOptions& options) {
  const Plan plan = plan_of(a, b, options);
  const Tensor y = context.empty(plan.out, a.dtype());
  run(context, plan,
      {a.tensor(),
       b.tensor(),
       {y, Write::overwrite},
       sized(plan.m, plan.n, plan.k, {plan.transpose_a, plan.transpose_b}),
       true,
       false,
       true});
  const Value inputs[] = {a, b};
  const Saved kept_a(a), kept_b(b);
  return context.record({"matmul", inputs,
                         [plan, kept_a, kept_b](Context& c, Gradients& g) {
                           if (g.wanted(0)) left_gradient(c, g, plan, kept_b.get());
                           if (g.wanted(1)) right_gradient(c, g, plan, kept_a.get());
                         }},
                        y);
}

namespace {

struct LinearExtents {
  std::int64_t rows, inputs, outputs;
};

LinearExtents check_linear(const Value& x, const LinearParameters& p) {
  const Shape& weight = p.weight.shape();
  require(weight.dims() == 2, "linear: the weight is {}, not ({})", weight,
          p.form == WeightForm::inputs_outputs ? "inputs, outputs" : "outputs, inputs");
  const bool turned = p.form == WeightForm::inputs_outputs;
  const std::int64_t outputs = weight[turned ? 1 : 0], inputs = weight[turned ? 0 : 1];
  require(x.shape().dims() >= 1 && x.shape()[-1] == inputs,
          "linear: the input is {}, but the weight {} wants {} inputs", x.shape(), weight, inputs);
  require(p.weight.dtype() == x.dtype(), "linear: the weight is {}, but the input is {}", name_of(p.weight.dtype()),
          name_of(x.dtype()));
  if (p.bias.tensor())
    require(p.bias.shape() == Shape{outputs} && p.bias.dtype() == x.dtype(),
            "linear: the bias is {} of {}, but {} outputs of {} want ({})", p.bias.shape(), name_of(p.bias.dtype()),
            outputs, name_of(x.dtype()), outputs);
  return {x.elements() / std::max<std::int64_t>(inputs, 1), inputs, outputs};
}

struct LinearKept {
  Saved x, weight;
  std::optional<Saved> y;       ///< With a fused ReLU.
  std::optional<Saved> before;  ///< With a fused GELU.
  LinearExtents extents;
  WeightForm form;
};

Tensor gradient_before_finish(Context& context, Gradients& g, const LinearKept& k) {
  if (k.y) return gradient_before_relu(context, g, k.y->get());
  if (k.before) return gradient_before_gelu(context, g, k.before->get());
  return g.output();
}

void linear_gradient(Context& context, Gradients& g, const LinearKept& k) {
  const Tensor dy = gradient_before_finish(context, g, k);
  const auto [rows, inputs, outputs] = k.extents;
  const bool turned = k.form == WeightForm::inputs_outputs;
  if (g.wanted(0)) {
    product_into(context,
                 {.a = dy,
                  .b = k.weight.get(),
                  .m = rows,
                  .n = inputs,
                  .k = outputs,
                  .transpose_b = turned ? Transpose::yes : Transpose::no},
                 g.to_stored(0));
  }
  if (g.wanted(1)) {
    Product p{.a = turned ? k.x.get() : dy,
              .b = turned ? dy : k.x.get(),
              .m = turned ? inputs : outputs,
              .n = turned ? outputs : inputs,
              .k = rows,
              .transpose_a = Transpose::yes};
    const Destination weight = g.to_stored(1);
    if (g.wanted(2)) (turned ? p.sums_of_b : p.sums_of_a) = g.to_stored(2);
    product_into(context, p, weight);
  } else if (g.wanted(2)) {
    column_sum_into(context, dy, g.to_stored(2), 1);
  }
}

Product::Finish finish_of(Activation activation) {
  if (activation == Activation::relu) return Product::Finish::relu;
  return activation == Activation::gelu_tanh_fit ? Product::Finish::gelu_tanh_fit : Product::Finish::none;
}

}  // namespace

Value linear(Context& context, const Value& x, const LinearParameters& parameters, Activation activation) {
  const LinearExtents extents = check_linear(x, parameters);
  const Product::Finish finish = finish_of(activation);
  const Tensor y = context.empty(x.shape().with(-1, extents.outputs), x.dtype());
  const bool keeps_before = finish == Product::Finish::gelu_tanh_fit && context.tape();
  const Tensor before = keeps_before ? context.empty(y.shape(), y.dtype()) : Tensor();
  product_into(context,
               {.a = x.tensor(),
                .b = parameters.weight.tensor(),
                .m = extents.rows,
                .n = extents.outputs,
                .k = extents.inputs,
                .transpose_b = parameters.form == WeightForm::outputs_inputs ? Transpose::yes : Transpose::no,
                .bias = parameters.bias.tensor(),
                .finish = finish,
                .before = before},
               {y, Write::overwrite});
  const Value inputs_of[] = {x, parameters.weight, parameters.bias};
  const LinearKept kept{Saved(x),
                        Saved(parameters.weight),
                        finish == Product::Finish::relu ? std::optional<Saved>(Value(y)) : std::nullopt,
                        keeps_before ? std::optional<Saved>(Value(before)) : std::nullopt,
                        extents,
                        parameters.form};
  const Value out =
      context.record({"linear", inputs_of, [kept](Context& c, Gradients& g) { linear_gradient(c, g, kept); }}, y);
  return finish == Product::Finish::none ? activate(context, out, activation) : out;
}

}  // namespace trireme::ops
