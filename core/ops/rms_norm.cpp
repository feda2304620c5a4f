#include "core/ops/rms_norm.hpp"

#include "core/kernels/rms_norm.hpp"
#include "core/ops/norm_parts.hpp"

namespace trireme::ops {
namespace {

/// What the gradient needs: what was normalised, the gain, and a number per row.
struct RmsNormKept {
  Saved x, gain;
  Tensor rstd;
  std::int64_t rows, features;
};

template <class T>
void input_gradient(Context& context, const Tensor& dy, const RmsNormKept& kept, const Destination& to) {
  launch_rows(context.stream(), {kept.rows, kept.features},
              kernels::RmsNormInputGradient<T>{.x = kept.x.get().template data<T>(),
                                               .gain = kept.gain.get().template data<T>(),
                                               .dy = dy.data<T>(),
                                               .rstd = kept.rstd.data<Accum<T>>(),
                                               .dx = to.tensor.data<T>(),
                                               .features = kept.features,
                                               .beta = to.beta()});
}

/// The gradient of the gain, input number `gain`.
template <class T>
void gain_gradient(Context& context, Gradients& g, const RmsNormKept& kept, const std::pair<Tensor, int>& dy_gain) {
  const auto& [dy, gain] = dy_gain;
  if (!g.wanted(gain)) return;
  const Stripes stripes = stripes_for(kept.rows);
  const Tensor dgain = context.empty({stripes.count, kept.features}, accum_dtype(dy.dtype()));
  launch_columns(context.stream(), {stripes.count, kept.features, pack_width<T>},
                 kernels::RmsNormGainGradient<T>{.x = kept.x.get().template data<T>(),
                                                 .dy = dy.data<T>(),
                                                 .rstd = kept.rstd.data<Accum<T>>(),
                                                 .dgain = dgain.data<Accum<T>>(),
                                                 .rows = kept.rows,
                                                 .features = kept.features,
                                                 .stripe_rows = stripes.rows_each});
  finish_norm_parameter(context, dgain, g.to_stored(gain));
}

void check_rms_norm(const char* op, const Value& x, const Value& gain) {
  check_norm_input(op, x);
  check_norm_parameter(op, x, {"gain", gain});
}

/// What is read and written: x, or x + residual into sum.
struct RmsNormRows {
  Tensor x, residual, sum, y;
};

template <class T>
void forward(Context& context, const RmsNormRows& rows, const RmsNormKept& kept, double epsilon) {
  launch_rows(context.stream(), {kept.rows, kept.features},
              kernels::RmsNormForward<T>{.x = rows.x.data<T>(),
                                         .gain = kept.gain.get().template data<T>(),
                                         .y = rows.y.data<T>(),
                                         .rstd = kept.rstd.data<Accum<T>>(),
                                         .features = kept.features,
                                         .epsilon = static_cast<Accum<T>>(epsilon),
                                         .residual = rows.residual ? rows.residual.data<T>() : nullptr,
                                         .sum = rows.sum ? rows.sum.data<T>() : nullptr});
}

RmsNormKept kept_of_rms(Context& context, const Value& x, const Value& gain) {
  const std::int64_t features = x.shape()[-1], rows = x.elements() / features;
  return {Saved(x), Saved(gain), context.empty({rows}, accum_dtype(x.dtype())), rows, features};
}

}  // namespace

Value rms_norm(Context& context, const Value& x, const Value& gain, double epsilon) {
  check_rms_norm("rms_norm", x, gain);
  const Tensor y = context.empty(x.shape(), x.dtype());
  const RmsNormKept kept = kept_of_rms(context, x, gain);
  with_floating(x.dtype(), "rms_norm", [&](auto zero) {
    forward<decltype(zero)>(context, {x.tensor(), {}, {}, y}, kept, epsilon);
  });
  const Value inputs[] = {x, gain};
  return context.record({"rms_norm", inputs,
                         [kept](Context& c, Gradients& g) {
                           with_floating(kept.x.value().dtype(), "rms_norm", [&](auto zero) {
                             using T = decltype(zero);
                             const Tensor dy = g.output();
                             if (g.wanted(0)) input_gradient<T>(c, dy, kept, g.to(0));
                             gain_gradient<T>(c, g, kept, {dy, 1});
                           });
                         }},
                        y);
}

SumNorm add_rms_norm(Context& context, const Summands& summands, const Value& gain, double epsilon) {
  const auto& [x, residual] = summands;
  check_summands("add_rms_norm", x, residual);
  check_rms_norm("add_rms_norm", x, gain);
  const Tensor sum = context.empty(x.shape(), x.dtype()), y = context.empty(x.shape(), x.dtype());
  const RmsNormKept kept = kept_of_rms(context, sum, gain);
  with_floating(x.dtype(), "add_rms_norm", [&, &x = x, &residual = residual](auto zero) {
    forward<decltype(zero)>(context, {x.tensor(), residual.tensor(), sum, y}, kept, epsilon);
  });
  const Value inputs[] = {x, residual, gain};
  const Tensor outputs[] = {sum, y};
  const auto gradient = [kept](Context& c, Gradients& g) {
    with_floating(kept.x.value().dtype(), "add_rms_norm", [&](auto zero) {
      using T = decltype(zero);
      const Tensor dy = g.output(1);
      gain_gradient<T>(c, g, kept, {dy, 2});
      residual_gradient(c, g, [&](const Destination& to) { input_gradient<T>(c, dy, kept, to); });
    });
  };
  auto values = context.record({"add_rms_norm", inputs, gradient}, outputs);
  return {values[0], values[1]};
}

}  // namespace trireme::ops
