#include "core/ops/group_norm.hpp"

#include "core/kernels/group_norm.hpp"
#include "core/ops/norm_parts.hpp"

namespace trireme::ops {
namespace {

struct GroupNormKept {
  Saved x, gain;
  Tensor mean, rstd;  ///< (samples * groups).
  kernels::GroupExtents extents;
  std::int64_t rows;  ///< Of channels: samples * pixels.
};

template <class T>
const T* data_or_null(const Tensor& tensor) {
  return tensor ? tensor.data<T>() : nullptr;
}

RowsShape rows_shape(const GroupNormKept& kept) { return {kept.mean.elements(), kept.extents.elements()}; }

template <class T>
void input_gradient(Context& context, const Tensor& dy, const GroupNormKept& kept, const Destination& to) {
  launch_rows(context.stream(), rows_shape(kept),
              kernels::GroupNormInputGradient<T>{.x = kept.x.get().template data<T>(),
                                                 .gain = data_or_null<T>(kept.gain.get()),
                                                 .dy = dy.data<T>(),
                                                 .mean = kept.mean.data<Accum<T>>(),
                                                 .rstd = kept.rstd.data<Accum<T>>(),
                                                 .dx = to.tensor.data<T>(),
                                                 .e = kept.extents,
                                                 .beta = to.beta()});
}

template <class T>
void parameter_gradients(Context& context, Gradients& g, const GroupNormKept& kept, const Tensor& dy) {
  if (!g.wanted(1) && !g.wanted(2)) return;
  const std::int64_t channels = kept.extents.channels;
  const Stripes stripes = stripes_for(kept.rows);
  const Tensor dgain = context.empty({stripes.count, channels}, accum_dtype(dy.dtype()));
  const Tensor dbias = context.empty({stripes.count, channels}, accum_dtype(dy.dtype()));
  launch_columns(context.stream(), {stripes.count, channels, pack_width<T>},
                 kernels::GroupNormParameterGradient<T>{.x = kept.x.get().template data<T>(),
                                                        .dy = dy.data<T>(),
                                                        .mean = kept.mean.data<Accum<T>>(),
                                                        .rstd = kept.rstd.data<Accum<T>>(),
                                                        .dgain = dgain.data<Accum<T>>(),
                                                        .dbias = dbias.data<Accum<T>>(),
                                                        .e = kept.extents,
                                                        .rows = kept.rows,
                                                        .stripe_rows = stripes.rows_each});
  if (g.wanted(1)) finish_norm_parameter(context, dgain, g.to_stored(1));
  if (g.wanted(2)) finish_norm_parameter(context, dbias, g.to_stored(2));
}

Value norm(Context& context, const Value& x, const GainBias& p, const std::pair<const char*, GroupNormOptions>& what) {
  const auto& [name, options] = what;
  const Tensor y = context.empty(x.shape(), x.dtype());
  const std::int64_t channels = x.shape()[-1], samples = x.shape()[0];
  const std::int64_t rows = x.elements() / channels, pixels = samples > 0 ? rows / samples : 0;
  const GroupNormKept kept{Saved(x),
                           Saved(p.gain),
                           context.empty({samples * options.groups}, accum_dtype(x.dtype())),
                           context.empty({samples * options.groups}, accum_dtype(x.dtype())),
                           {pixels, channels, options.groups},
                           rows};
  with_floating(x.dtype(), name, [&, &options = options](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), rows_shape(kept),
                kernels::GroupNormForward<T>{.x = x.tensor().data<T>(),
                                             .gain = data_or_null<T>(p.gain.tensor()),
                                             .bias = data_or_null<T>(p.bias.tensor()),
                                             .y = y.data<T>(),
                                             .mean = kept.mean.data<Accum<T>>(),
                                             .rstd = kept.rstd.data<Accum<T>>(),
                                             .e = kept.extents,
                                             .epsilon = static_cast<Accum<T>>(options.epsilon)});
  });
  const Value inputs[] = {x, p.gain, p.bias};
  const auto gradient = [kept](Context& c, Gradients& g) {
    with_floating(kept.x.value().dtype(), "group_norm", [&](auto zero) {
      using T = decltype(zero);
      const Tensor dy = g.output();
      if (g.wanted(0)) input_gradient<T>(c, dy, kept, g.to(0));
      parameter_gradients<T>(c, g, kept, dy);
    });
  };
  return context.record({name, inputs, gradient}, y);
}

void check_grouped(const char* op, const Value& x, const GainBias& p) {
  check_norm_input(op, x);
  require(x.shape().dims() >= 2, "{}: the input is {}, wanted (batch, ..., channels)", op, x.shape());
  require(static_cast<bool>(p.gain.tensor()) == static_cast<bool>(p.bias.tensor()),
          "{}: a gain without a bias, or the reverse; give both or none", op);
  if (!p.gain.tensor()) return;
  check_norm_parameter(op, x, {"gain", p.gain});
  check_norm_parameter(op, x, {"bias", p.bias});
}

}  // namespace

Value group_norm(Context& context, const Value& x, const GainBias& parameters, const GroupNormOptions& options) {
  check_grouped("group_norm", x, parameters);
  require(options.groups > 0 && x.shape()[-1] % options.groups == 0,
          "group_norm: {} channels in {} groups; the groups must divide the channels", x.shape()[-1], options.groups);
  return norm(context, x, parameters, {"group_norm", options});
}

Value instance_norm(Context& context, const Value& x, const GainBias& parameters, double epsilon) {
  check_grouped("instance_norm", x, parameters);
  return norm(context, x, parameters, {"instance_norm", {.groups = x.shape()[-1], .epsilon = epsilon}});
}

}  // namespace trireme::ops
