#include "core/ops/layer_norm.hpp"

#include "core/kernels/layer_norm.hpp"
#include "core/ops/norm_parts.hpp"

namespace trireme::ops {
namespace {

/// What the gradient needs: what was normalised, the gain, and two numbers per row.
struct LayerNormKept {
  Saved x, gain;
  Tensor mean, rstd;
  std::int64_t rows, features;
};

template <class T>
void input_gradient(Context& context, const Tensor& dy, const LayerNormKept& kept, const Destination& to) {
  launch_rows(context.stream(), {kept.rows, kept.features},
              kernels::LayerNormInputGradient<T>{.x = kept.x.get().template data<T>(),
                                                 .gain = kept.gain.get().template data<T>(),
                                                 .dy = dy.data<T>(),
                                                 .mean = kept.mean.data<Accum<T>>(),
                                                 .rstd = kept.rstd.data<Accum<T>>(),
                                                 .dx = to.tensor.data<T>(),
                                                 .features = kept.features,
                                                 .beta = to.beta()});
}

/// Gradients of gain and bias, inputs number `gain` and gain + 1.
template <class T>
void parameter_gradients(Context& context, Gradients& g, const LayerNormKept& kept,
                         const std::pair<Tensor, int>& dy_gain) {
  const auto& [dy, gain] = dy_gain;
  if (!g.wanted(gain) && !g.wanted(gain + 1)) return;
  const Stripes stripes = stripes_for(kept.rows);
  const Tensor dgain = context.empty({stripes.count, kept.features}, accum_dtype(dy.dtype()));
  const Tensor dbias = context.empty({stripes.count, kept.features}, accum_dtype(dy.dtype()));
  launch_columns(context.stream(), {stripes.count, kept.features, pack_width<T>},
                 kernels::LayerNormParameterGradient<T>{.x = kept.x.get().template data<T>(),
                                                        .dy = dy.data<T>(),
                                                        .mean = kept.mean.data<Accum<T>>(),
                                                        .rstd = kept.rstd.data<Accum<T>>(),
                                                        .dgain = dgain.data<Accum<T>>(),
                                                        .dbias = dbias.data<Accum<T>>(),
                                                        .rows = kept.rows,
                                                        .features = kept.features,
                                                        .stripe_rows = stripes.rows_each});
  if (g.wanted(gain)) finish_norm_parameter(context, dgain, g.to_stored(gain));
  if (g.wanted(gain + 1)) finish_norm_parameter(context, dbias, g.to_stored(gain + 1));
}

void check_layer_norm(const char* op, const Value& x, const GainBias& parameters) {
  check_norm_input(op, x);
  check_norm_parameter(op, x, {"gain", parameters.gain});
  check_norm_parameter(op, x, {"bias", parameters.bias});
}

/// What is read and written: x, or x + residual into sum.
struct LayerNormRows {
  Tensor x, residual, sum, y;
};

template <class T>
void forward(Context& context, const LayerNormRows& rows, const GainBias& parameters,
             const std::pair<LayerNormKept, double>& kept_eps) {
  const auto& [kept, epsilon] = kept_eps;
  launch_rows(context.stream(), {kept.rows, kept.features},
              kernels::LayerNormForward<T>{.x = rows.x.data<T>(),
                                           .gain = parameters.gain.tensor().data<T>(),
                                           .bias = parameters.bias.tensor().data<T>(),
                                           .y = rows.y.data<T>(),
                                           .mean = kept.mean.data<Accum<T>>(),
                                           .rstd = kept.rstd.data<Accum<T>>(),
                                           .features = kept.features,
                                           .epsilon = static_cast<Accum<T>>(epsilon),
                                           .residual = rows.residual ? rows.residual.data<T>() : nullptr,
                                           .sum = rows.sum ? rows.sum.data<T>() : nullptr});
}

LayerNormKept kept_of(Context& context, const Value& x, const Value& gain) {
  const std::int64_t features = x.shape()[-1], rows = x.elements() / features;
  return {Saved(x),
          Saved(gain),
          context.empty({rows}, accum_dtype(x.dtype())),
          context.empty({rows}, accum_dtype(x.dtype())),
          rows,
          features};
}

}  // namespace

Value layer_norm(Context& context, const Value& x, const GainBias& parameters, double epsilon) {
  check_layer_norm("layer_norm", x, parameters);
  const Tensor y = context.empty(x.shape(), x.dtype());
  const LayerNormKept kept = kept_of(context, x, parameters.gain);
  with_floating(x.dtype(), "layer_norm", [&](auto zero) {
    forward<decltype(zero)>(context, {x.tensor(), {}, {}, y}, parameters, {kept, epsilon});
  });
  const Value inputs[] = {x, parameters.gain, parameters.bias};
  return context.record({"layer_norm", inputs,
                         [kept](Context& c, Gradients& g) {
                           with_floating(kept.x.value().dtype(), "layer_norm", [&](auto zero) {
                             using T = decltype(zero);
                             const Tensor dy = g.output();
                             if (g.wanted(0)) input_gradient<T>(c, dy, kept, g.to(0));
                             parameter_gradients<T>(c, g, kept, {dy, 1});
                           });
                         }},
                        y);
}

SumNorm add_layer_norm(Context& context, const Summands& summands, const GainBias& parameters, double epsilon) {
  const auto& [x, residual] = summands;
  check_summands("add_layer_norm", x, residual);
  check_layer_norm("add_layer_norm", x, parameters);
  const Tensor sum = context.empty(x.shape(), x.dtype()), y = context.empty(x.shape(), x.dtype());
  const LayerNormKept kept = kept_of(context, sum, parameters.gain);
  with_floating(x.dtype(), "add_layer_norm", [&, &x = x, &residual = residual](auto zero) {
    forward<decltype(zero)>(context, {x.tensor(), residual.tensor(), sum, y}, parameters, {kept, epsilon});
  });
  const Value inputs[] = {x, residual, parameters.gain, parameters.bias};
  const Tensor outputs[] = {sum, y};
  const auto gradient = [kept](Context& c, Gradients& g) {
    with_floating(kept.x.value().dtype(), "add_layer_norm", [&](auto zero) {
      using T = decltype(zero);
      const Tensor dy = g.output(1);
      parameter_gradients<T>(c, g, kept, {dy, 2});
      residual_gradient(c, g, [&](const Destination& to) { input_gradient<T>(c, dy, kept, to); });
    });
  };
  auto values = context.record({"add_layer_norm", inputs, gradient}, outputs);
  return {values[0], values[1]};
}

}  // namespace trireme::ops
