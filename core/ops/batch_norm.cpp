#include "core/ops/batch_norm.hpp"

#include "core/kernels/batch_norm.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/reduce.hpp"

namespace trireme::ops {
namespace {

using Statistics = BatchNormOptions::Statistics;

/// How rows fall into groups of common statistics.
struct Form {
  std::int64_t groups = 1, group_rows = 0, features = 0;
  double count = 0;          ///< Rows behind one group's statistics, over all parts.
  double groups_in_all = 1;  ///< Over all parts.
  bool synchronised = true;
};

Form form_of(const Context& context, const Shape& x, const BatchNormOptions& o) {
  const std::int64_t features = x[-1], rows = features > 0 ? x.elements() / features : 0;
  const std::int64_t samples = x[0], each = samples > 0 ? rows / samples : 0;
  const int parts = context.peers().parts();
  const std::int64_t all = context.global_rows() > 0 ? context.global_rows() : samples;
  require(parts == 1 || context.global_rows() > 0,
          "batch_norm: {} parts, but the context does not know the whole batch", parts);
  if (o.statistics == Statistics::synchronised) return {1, rows, features, static_cast<double>(all * each), 1, true};
  require(o.group > 0 && samples % o.group == 0 && context.first_sample() % o.group == 0 && all % o.group == 0,
          "batch_norm: samples [{}, {}) do not hold whole ghost groups of {}; choose a batch in which every part has a "
          "multiple of {} samples",
          context.first_sample(), context.first_sample() + samples, o.group, o.group);
  return {samples / o.group,
          o.group * each,
          features,
          static_cast<double>(o.group * each),
          static_cast<double>(all / o.group),
          false};
}

using Layer = BatchNormValues;

/// What the gradient needs. mean, rstd: (groups, features).
struct Kept {
  Saved x, gain;
  Tensor mean, rstd;
  Form form;
};

template <class T>
Tensor column_totals(Context& context, const Tensor& x, const Form& f, const Tensor* mean) {
  const Tensor totals = context.empty({f.groups, f.features}, DType::f64);
  const Stripes stripes = stripes_for(f.group_rows);
  const Tensor partial = context.empty({stripes.count, f.features}, dtype_of<Accum<T>>);
  const ColumnsShape shape{stripes.count, f.features, pack_width<T>};
  for (std::int64_t g = 0; g < f.groups; ++g) {
    const T* const rows = x.data<T>() + g * f.group_rows * f.features;
    if (mean) {
      launch_columns(context.stream(), shape,
                     kernels::CentredSquares<T>{rows, mean->data<Accum<T>>() + g * f.features, partial.data<Accum<T>>(),
                                                f.group_rows, f.features, stripes.rows_each});
    } else {
      launch_columns(
          context.stream(), shape,
          kernels::ColumnSum<T>{rows, partial.data<Accum<T>>(), f.group_rows, f.features, stripes.rows_each});
    }
    launch_elements(context.stream(), f.features,
                    kernels::ColumnTotal<T>{partial.data<Accum<T>>(), totals.data<double>() + g * f.features,
                                            stripes.count, f.features});
  }
  if (f.synchronised && !context.on_meta()) context.peers().sum(totals);
  return totals;
}

/// What is made of a total.
struct Wanted {
  double count, epsilon;
  int root;
};
Wanted mean_over(double count) { return {count, 0, 0}; }
Wanted root_over(double count, double epsilon) { return {count, epsilon, 1}; }

template <class T>
Tensor statistic(Context& context, const Tensor& totals, const Wanted& how) {
  const Tensor out = context.empty(totals.shape(), dtype_of<Accum<T>>);
  launch_elements(context.stream(), out.elements(),
                  kernels::Statistic<T>{totals.data<double>(), out.data<Accum<T>>(), how.count, how.epsilon, how.root});
  return out;
}

struct Running {
  Tensor value;
  double keep, factor;  ///< value = keep value + (1 - keep) factor x the mean over all groups of totals.
};

template <class T>
void update_running(Context& context, const Running& running, const Tensor& totals, const Form& f) {
  Tensor groups = totals;
  if (!f.synchronised && context.peers().parts() > 1) {
    groups = context.empty({1, f.features}, DType::f64);
    launch_elements(
        context.stream(), f.features,
        kernels::GroupTotals<double>{totals.data<double>(), groups.data<double>(), f.groups, f.features, 0, 1});
    context.peers().sum(groups);
  }
  launch_elements(context.stream(), f.features,
                  kernels::GroupTotals<T>{groups.data<double>(), running.value.data<T>(), groups.shape()[0], f.features,
                                          running.keep, (1 - running.keep) * running.factor / f.groups_in_all});
}

template <class T>
void normalise_groups(Context& context, const Kept& kept, const Value& bias, const Tensor& y) {
  const Form& f = kept.form;
  for (std::int64_t g = 0; g < f.groups; ++g)
    launch_rows(context.stream(), {f.group_rows, f.features},
                kernels::NormForward<T>{.x = kept.x.get().template data<T>() + g * f.group_rows * f.features,
                                        .mean = kept.mean.data<Accum<T>>() + g * f.features,
                                        .rstd = kept.rstd.data<Accum<T>>() + g * f.features,
                                        .gain = kept.gain.get().template data<T>(),
                                        .bias = bias.tensor().data<T>(),
                                        .y = y.data<T>() + g * f.group_rows * f.features,
                                        .features = f.features});
}

/// Local sums over each group of dy and of dy xhat: (2, groups, features).
template <class T>
Tensor gradient_sums(Context& context, const Tensor& dy, const Kept& kept) {
  const Form& f = kept.form;
  const Tensor sums = context.empty({2, f.groups, f.features}, DType::f64);
  const Stripes stripes = stripes_for(f.group_rows);
  const Tensor partial = context.empty({2, stripes.count, f.features}, dtype_of<Accum<T>>);
  for (std::int64_t g = 0; g < f.groups; ++g) {
    launch_columns(context.stream(), {stripes.count, f.features, pack_width<T>},
                   kernels::NormGradientSums<T>{.x = kept.x.get().template data<T>() + g * f.group_rows * f.features,
                                                .dy = dy.data<T>() + g * f.group_rows * f.features,
                                                .mean = kept.mean.data<Accum<T>>() + g * f.features,
                                                .rstd = kept.rstd.data<Accum<T>>() + g * f.features,
                                                .partial = partial.data<Accum<T>>(),
                                                .rows = f.group_rows,
                                                .features = f.features,
                                                .stripe_rows = stripes.rows_each,
                                                .stripes = stripes.count});
    for (std::int64_t which = 0; which < 2; ++which)
      launch_elements(context.stream(), f.features,
                      kernels::ColumnTotal<T>{partial.data<Accum<T>>() + which * stripes.count * f.features,
                                              sums.data<double>() + (which * f.groups + g) * f.features, stripes.count,
                                              f.features});
  }
  return sums;
}

/// Own contributions only: the parts' gradients of gain and bias are added up later, with all others.
template <class T>
void parameter_gradient(Context& context, const Tensor& sums, const Form& f, const Destination& to) {
  launch_elements(context.stream(), f.features,
                  kernels::GroupTotals<T>{sums.data<double>(), to.tensor.data<T>(), f.groups, f.features,
                                          static_cast<double>(to.beta()), 1});
}

template <class T>
void gradient(Context& context, Gradients& g, const Kept& kept) {
  const Form& f = kept.form;
  const Tensor dy = g.output(), sums = gradient_sums<T>(context, dy, kept);
  if (g.wanted(1)) parameter_gradient<T>(context, sums.slice(1, 1), f, g.to(1));
  if (g.wanted(2)) parameter_gradient<T>(context, sums.slice(0, 1), f, g.to(2));
  // All parts must join the message, whether or not this one's input wants a gradient.
  if (f.synchronised && !context.on_meta()) context.peers().sum(sums);
  if (!g.wanted(0)) return;
  const Tensor means = statistic<T>(context, sums, mean_over(f.count));
  const Destination to = g.to(0);
  for (std::int64_t k = 0; k < f.groups; ++k) {
    const std::int64_t rows = k * f.group_rows * f.features, stats = k * f.features;
    launch_rows(context.stream(), {f.group_rows, f.features},
                kernels::NormGradient<T>{.x = kept.x.get().template data<T>() + rows,
                                         .dy = dy.data<T>() + rows,
                                         .mean = kept.mean.data<Accum<T>>() + stats,
                                         .rstd = kept.rstd.data<Accum<T>>() + stats,
                                         .gain = kept.gain.get().template data<T>(),
                                         .mean_dy = means.data<Accum<T>>() + stats,
                                         .mean_dy_xhat = means.data<Accum<T>>() + f.groups * f.features + stats,
                                         .dx = to.tensor.data<T>() + rows,
                                         .features = f.features,
                                         .beta = static_cast<Accum<T>>(to.beta())});
  }
}

template <class T>
Value training(Context& context, const Value& x, const Layer& layer, const BatchNormOptions& o) {
  const Form f = form_of(context, x.shape(), o);
  const Tensor sums = column_totals<T>(context, x.tensor(), f, nullptr);
  const Tensor mean = statistic<T>(context, sums, mean_over(f.count));
  const Tensor squares = column_totals<T>(context, x.tensor(), f, &mean);
  const Tensor rstd = statistic<T>(context, squares, root_over(f.count, o.epsilon));
  if (!context.on_meta()) {
    update_running<T>(context, {layer.running.mean, 1 - o.momentum, 1 / f.count}, sums, f);
    const double unbiased = 1 / (f.count > 1 ? f.count - 1 : 1);
    update_running<T>(context, {layer.running.variance, 1 - o.momentum, unbiased}, squares, f);
  }
  const Kept kept{Saved(x), Saved(layer.gain), mean, rstd, f};
  const Tensor y = context.empty(x.shape(), x.dtype());
  normalise_groups<T>(context, kept, layer.bias, y);
  const Value inputs[] = {x, layer.gain, layer.bias};
  return context.record({"batch_norm", inputs, [kept](Context& c, Gradients& g) { gradient<T>(c, g, kept); }}, y);
}

template <class T>
Value evaluation(Context& context, const Value& x, const Layer& layer, const BatchNormOptions& options) {
  const std::int64_t features = x.shape()[-1];
  const Tensor totals = context.empty({1, features}, DType::f64);
  launch_elements(context.stream(), features,
                  kernels::ColumnTotal<T>{layer.running.variance.data<T>(), totals.data<double>(), 1, features});
  const Tensor rstd = statistic<T>(context, totals, root_over(1, options.epsilon));
  const Tensor y = context.empty(x.shape(), x.dtype());
  const Form f{1, features > 0 ? x.elements() / features : 0, features, 0, 1, false};
  normalise_groups<T>(context, {Saved(x), Saved(layer.gain), layer.running.mean, rstd, f}, layer.bias, y);
  return y;
}

void check(const Value& x, const Layer& layer) {
  require(x.shape().dims() >= 2, "batch_norm: the input {} must be (rows, C) or (B, H, W, C)", x.shape().text());
  const Shape wanted{x.shape()[-1]};
  const std::pair<const char*, const Tensor&> given[] = {{"gain", layer.gain.tensor()},
                                                         {"bias", layer.bias.tensor()},
                                                         {"running mean", layer.running.mean},
                                                         {"running variance", layer.running.variance}};
  for (const auto& [name, tensor] : given)
    require(tensor.shape() == wanted && tensor.dtype() == x.dtype(),
            "batch_norm: the {} is {} {}, but the input {} wants {} {}", name, name_of(tensor.dtype()),
            tensor.shape().text(), x.shape().text(), name_of(x.dtype()), wanted.text());
}

}  // namespace

Value batch_norm(Context& context, const Value& x, const BatchNormValues& layer, const BatchNormOptions& options) {
  check(x, layer);
  return with_floating(x.dtype(), "batch_norm", [&](auto zero) {
    using T = decltype(zero);
    return context.training() ? training<T>(context, x, layer, options) : evaluation<T>(context, x, layer, options);
  });
}

}  // namespace trireme::ops
