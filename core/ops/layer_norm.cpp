#include "core/ops/layer_norm.hpp"

#include "core/kernels/launch.hpp"
#include "core/kernels/layer_norm.hpp"
#include "core/kernels/reduce.hpp"

namespace trireme::ops {
namespace {

/// What the gradient needs: the input, the gain, and two numbers per row.
struct Kept {
  Saved x, gain;
  Tensor mean, rstd;
  std::int64_t rows, features;
};

template <class T>
void input_gradient(Context& context, Gradients& g, const Kept& kept) {
  const Tensor dy = g.output();
  const Destination to = g.to(0);
  launch_rows(context.stream(), {kept.rows, kept.features},
              kernels::LayerNormInputGradient<T>{.x = kept.x.get().template data<T>(),
                                                 .gain = kept.gain.get().template data<T>(),
                                                 .dy = dy.data<T>(),
                                                 .mean = kept.mean.data<T>(),
                                                 .rstd = kept.rstd.data<T>(),
                                                 .dx = to.tensor.data<T>(),
                                                 .features = kept.features,
                                                 .beta = static_cast<T>(to.beta())});
}

template <class T>
void finish(Context& context, const Tensor& partial, const Destination& to) {
  const std::int64_t features = to.tensor.elements();
  launch_elements(context.stream(), features,
                  kernels::ColumnFinish<T>{partial.data<T>(), to.tensor.data<T>(), partial.shape()[0], features, T{1},
                                           static_cast<T>(to.beta())});
}

template <class T>
void parameter_gradients(Context& context, Gradients& g, const Kept& kept) {
  const Tensor dy = g.output();
  const Stripes stripes = stripes_for(kept.rows);
  const Tensor dgain = context.empty({stripes.count, kept.features}, dy.dtype());
  const Tensor dbias = context.empty({stripes.count, kept.features}, dy.dtype());
  launch_columns(context.stream(), {stripes.count, kept.features, pack_width<T>},
                 kernels::LayerNormParameterGradient<T>{.x = kept.x.get().template data<T>(),
                                                        .dy = dy.data<T>(),
                                                        .mean = kept.mean.data<T>(),
                                                        .rstd = kept.rstd.data<T>(),
                                                        .dgain = dgain.data<T>(),
                                                        .dbias = dbias.data<T>(),
                                                        .rows = kept.rows,
                                                        .features = kept.features,
                                                        .stripe_rows = stripes.rows_each});
  if (g.wanted(1)) finish<T>(context, dgain, g.to(1));
  if (g.wanted(2)) finish<T>(context, dbias, g.to(2));
}

void check(const Value& x, const GainBias& parameters) {
  require(x.shape().dims() > 0 && x.shape()[-1] > 0, "layer_norm: {} has no last dim to normalise over", x.shape());
  const Shape wanted{x.shape()[-1]};
  for (const auto& [name, value] : {std::pair{"gain", parameters.gain}, std::pair{"bias", parameters.bias}}) {
    require(value.shape() == wanted, "layer_norm: the {} is {}, but the last dim of {} wants {}", name, value.shape(),
            x.shape(), wanted);
    require(value.dtype() == x.dtype(), "layer_norm: the {} is {}, but the input is {}", name, name_of(value.dtype()),
            name_of(x.dtype()));
  }
}

}  // namespace

Value layer_norm(Context& context, const Value& x, const GainBias& parameters, double epsilon) {
  check(x, parameters);
  const std::int64_t features = x.shape()[-1], rows = x.elements() / features;
  const Tensor y = context.empty(x.shape(), x.dtype());
  const Kept kept{
      Saved(x), Saved(parameters.gain), context.empty({rows}, x.dtype()), context.empty({rows}, x.dtype()), rows,
      features};
  with_floating(x.dtype(), "layer_norm", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {rows, features},
                kernels::LayerNormForward<T>{.x = x.tensor().data<T>(),
                                             .gain = parameters.gain.tensor().data<T>(),
                                             .bias = parameters.bias.tensor().data<T>(),
                                             .y = y.data<T>(),
                                             .mean = kept.mean.data<T>(),
                                             .rstd = kept.rstd.data<T>(),
                                             .features = features,
                                             .epsilon = static_cast<T>(epsilon)});
  });
  const Value inputs[] = {x, parameters.gain, parameters.bias};
  return context.record({"layer_norm", inputs,
                         [kept](Context& c, Gradients& g) {
                           with_floating(kept.mean.dtype(), "layer_norm", [&](auto zero) {
                             using T = decltype(zero);
                             if (g.wanted(0)) input_gradient<T>(c, g, kept);
                             if (g.wanted(1) || g.wanted(2)) parameter_gradients<T>(c, g, kept);
                           });
                         }},
                        y);
}

}  // namespace trireme::ops
