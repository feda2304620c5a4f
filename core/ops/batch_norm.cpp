#include "core/ops/batch_norm.hpp"

#include <optional>

#include "core/kernels/batch_norm.hpp"
#include "core/kernels/launch.hpp"

namespace trireme::ops {
namespace {

using kernels::NormExtents;

void check(const Value& x, const BatchNormParameters& parameters) {
  require(x.shape().dims() >= 2 && x.shape()[-1] > 0, "batch_norm: the input is {}, not (rows, ..., channels)",
          x.shape());
  const Shape wanted{x.shape()[-1]};
  const auto check_vector = [&](const char* name, const Tensor& tensor, DType type) {
    require(tensor.shape() == wanted, "batch_norm: the {} is {}, but the input {} wants {}", name, tensor.shape(),
            x.shape(), wanted);
    require(tensor.dtype() == type, "batch_norm: the {} is {}, but an input of {} wants {}", name,
            name_of(tensor.dtype()), name_of(x.dtype()), name_of(type));
  };
  check_vector("gain", parameters.gain.tensor(), x.dtype());
  check_vector("bias", parameters.bias.tensor(), x.dtype());
  check_vector("running mean", parameters.running.mean, accum_dtype(x.dtype()));
  check_vector("running variance", parameters.running.variance, accum_dtype(x.dtype()));
}

/// How many groups this part's samples make.
std::int64_t groups_of(const Context& context, std::int64_t samples, const BatchNormOptions& options) {
  const auto* ghost = std::get_if<GhostGroups>(&options.statistics);
  if (ghost == nullptr) return 1;
  require(ghost->size > 0, "batch_norm: ghost groups of {} samples; the size must be positive", ghost->size);
  require(context.first_sample() % ghost->size == 0 && samples % ghost->size == 0,
          "batch_norm: this part holds samples {} to {}, which are not whole groups of {}; choose a batch and a number "
          "of parts so that each part holds a multiple of {} samples",
          context.first_sample(), context.first_sample() + samples, ghost->size, ghost->size);
  return samples / ghost->size;
}

NormExtents extents_of(const Context& context, const Shape& x, const BatchNormOptions& options) {
  const std::int64_t groups = context.on_meta() ? 1 : groups_of(context, x[0], options);
  const std::int64_t channels = x[-1], rows = groups > 0 ? x.elements() / channels / groups : 0;
  const Stripes stripes = stripes_for(rows);
  return {.groups = groups,
          .group_rows = rows,
          .channels = channels,
          .stripes = stripes.count,
          .stripe_rows = stripes.rows_each};
}

struct BatchNormKept {
  Saved x, gain;
  std::optional<Saved> y;  ///< With a fused ReLU.
  Tensor moments;          ///< (groups, piece), of the whole batch where it is synchronised.
  Tensor mean, rstd;       ///< (groups, channels).
  NormExtents extents;
  bool synchronised;
};

/// The joined moments of each group; those of the whole batch if it is synchronised.
template <class T>
Tensor moments_of(Context& context, const Tensor& x, const NormExtents& e, const BatchNormOptions& options) {
  const Stream& stream = context.stream();
  const Tensor pieces = context.empty({e.groups * e.stripes, e.piece()}, DType::f64);
  launch_columns(stream, {e.groups * e.stripes, e.channels, pack_width<T>},
                 kernels::BatchNormMoments<T>{x.data<T>(), pieces.data<double>(), e});
  const Tensor joined = context.empty({e.groups, e.piece()}, DType::f64);
  launch_elements(stream, e.groups * e.channels,
                  kernels::BatchNormJoin{pieces.data<double>(), joined.data<double>(), e.channels, e.stripes});
  Peers& peers = context.peers();
  if (peers.parts() == 1 || !std::holds_alternative<Synchronised>(options.statistics)) return joined;
  const Tensor all = context.empty({peers.parts(), e.piece()}, DType::f64);
  peers.gather(joined, all);
  launch_elements(stream, e.channels,
                  kernels::BatchNormJoin{all.data<double>(), joined.data<double>(), e.channels, peers.parts()});
  return joined;
}

/// Statistics are of type A, f32 or f64.
template <class A>
void update_running(Context& context, const BatchNormKept& kept, const RunningStatistics& running, double momentum) {
  const NormExtents& e = kept.extents;
  const Tensor total = context.empty({e.piece()}, DType::f64);
  launch_elements(context.stream(), e.channels,
                  kernels::BatchNormTotals{kept.moments.data<double>(), total.data<double>(), e.channels, e.groups});
  if (!kept.synchronised && context.peers().parts() > 1) context.peers().sum(total);
  launch_elements(context.stream(), e.channels,
                  kernels::BatchNormRunning<A>{total.data<double>(), running.mean.data<A>(), running.variance.data<A>(),
                                               e.channels, momentum});
  for (const Tensor& changed : {running.mean, running.variance}) changed.buffer()->bump_version();
}

template <class T>
void batch_statistics(Context& context, BatchNormKept& kept, const RunningStatistics& running,
                      const BatchNormOptions& options) {
  using A = Accum<T>;
  const NormExtents& e = kept.extents;
  kept.moments = moments_of<T>(context, kept.x.get(), e, options);
  launch_elements(context.stream(), e.groups * e.channels,
                  kernels::BatchNormFinish<A>{kept.moments.data<double>(), kept.mean.data<A>(), kept.rstd.data<A>(),
                                              e.channels, options.epsilon});
  update_running<A>(context, kept, running, options.momentum);
}

template <class T>
void normalise(Context& context, const BatchNormKept& kept, const BatchNormParameters& parameters, const Tensor& y) {
  const NormExtents& e = kept.extents;
  launch_rows(context.stream(), {e.groups * e.group_rows, e.channels},
              kernels::BatchNormForward<T>{.x = kept.x.get().template data<T>(),
                                           .gain = parameters.gain.tensor().data<T>(),
                                           .bias = parameters.bias.tensor().data<T>(),
                                           .mean = kept.mean.template data<Accum<T>>(),
                                           .rstd = kept.rstd.template data<Accum<T>>(),
                                           .y = y.data<T>(),
                                           .group_rows = e.group_rows,
                                           .channels = e.channels,
                                           .relu = kept.y ? 1u : 0u});
}

/// Sums of dy and dy * xhat of this part, (groups, 2 * channels).
template <class T>
Tensor gradient_sums(Context& context, const BatchNormKept& kept, const Tensor& dy) {
  const NormExtents& e = kept.extents;
  const Tensor sums = context.empty({e.groups * e.stripes, 2 * e.channels}, DType::f64);
  launch_columns(context.stream(), {e.groups * e.stripes, e.channels, pack_width<T>},
                 kernels::BatchNormGradientSums<T>{.x = kept.x.get().template data<T>(),
                                                   .dy = dy.data<T>(),
                                                   .y = kept.y ? kept.y->get().template data<T>() : nullptr,
                                                   .mean = kept.mean.template data<Accum<T>>(),
                                                   .rstd = kept.rstd.template data<Accum<T>>(),
                                                   .sums = sums.data<double>(),
                                                   .e = e});
  Tensor joined = context.empty({e.groups, 2 * e.channels}, DType::f64);
  launch_elements(context.stream(), joined.elements(),
                  kernels::BatchNormJoinSums{sums.data<double>(), joined.data<double>(), e.channels, e.stripes});
  return joined;
}

/// Which of the two sums a parameter's gradient is.
enum class Sum : std::int64_t { of_dy, of_dy_xhat };

void parameter_gradient(Context& context, const BatchNormKept& kept, const Tensor& sums,
                        std::pair<Sum, Destination> of) {
  const NormExtents& e = kept.extents;
  with_floating(of.second.tensor.dtype(), "batch_norm", [&](auto zero) {
    using T = decltype(zero);
    const auto& [which, to] = of;
    launch_elements(context.stream(), e.channels,
                    kernels::BatchNormParameterGradient<T>{.joined = sums.data<double>(),
                                                           .gradient = to.tensor.data<T>(),
                                                           .channels = e.channels,
                                                           .groups = e.groups,
                                                           .offset = which == Sum::of_dy ? 0 : e.channels,
                                                           .beta = to.beta()});
  });
}

template <class T>
void input_gradient(Context& context, Gradients& g, const BatchNormKept& kept, const Tensor& sums) {
  using A = Accum<T>;
  const NormExtents& e = kept.extents;
  if (kept.synchronised && context.peers().parts() > 1) context.peers().sum(sums);
  const Tensor average = context.empty({e.groups, e.channels}, kept.mean.dtype());
  const Tensor along = context.empty({e.groups, e.channels}, kept.mean.dtype());
  launch_elements(
      context.stream(), e.groups * e.channels,
      kernels::BatchNormCoefficients<A>{sums.data<double>(), kept.moments.data<double>(), kept.rstd.data<A>(),
                                        average.data<A>(), along.data<A>(), e.channels});
  const Tensor dy = g.output();
  const Destination to = g.to(0);
  launch_rows(context.stream(), {e.groups * e.group_rows, e.channels},
              kernels::BatchNormInputGradient<T>{.x = kept.x.get().template data<T>(),
                                                 .dy = dy.data<T>(),
                                                 .y = kept.y ? kept.y->get().template data<T>() : nullptr,
                                                 .gain = kept.gain.get().template data<T>(),
                                                 .mean = kept.mean.template data<Accum<T>>(),
                                                 .rstd = kept.rstd.template data<Accum<T>>(),
                                                 .average = average.data<A>(),
                                                 .along = along.data<A>(),
                                                 .dx = to.tensor.data<T>(),
                                                 .group_rows = e.group_rows,
                                                 .channels = e.channels,
                                                 .beta = to.beta()});
}

template <class T>
void gradient(Context& context, Gradients& g, const BatchNormKept& kept) {
  const Tensor sums = gradient_sums<T>(context, kept, g.output());
  // Before the sums of other parts come in: the parameters' gradients are summed over the parts later, like all others.
  if (g.wanted(1)) parameter_gradient(context, kept, sums, {Sum::of_dy_xhat, g.to_stored(1)});
  if (g.wanted(2)) parameter_gradient(context, kept, sums, {Sum::of_dy, g.to_stored(2)});
  if (g.wanted(0)) input_gradient<T>(context, g, kept, sums);
}

Value normalise_fixed(Context& context, const Value& x, const BatchNormParameters& parameters,
                      const BatchNormOptions& options) {
  const std::int64_t channels = x.shape()[-1], rows = x.elements() / channels;
  const Tensor y = context.empty(x.shape(), x.dtype());
  const DType statistics = accum_dtype(x.dtype());
  const Tensor mean = context.empty({channels}, statistics), rstd = context.empty({channels}, statistics);
  const bool relu = options.activation == Activation::relu;
  const BatchNormKept kept{Saved(x),
                           Saved(parameters.gain),
                           relu ? std::optional<Saved>(Value(y)) : std::nullopt,
                           {},
                           mean,
                           rstd,
                           {.groups = 1, .group_rows = rows, .channels = channels, .stripes = 0, .stripe_rows = 0},
                           false};
  with_floating(x.dtype(), "batch_norm", [&](auto zero) {
    using T = decltype(zero);
    using A = Accum<T>;
    launch_elements(context.stream(), channels,
                    kernels::BatchNormFixed<A>{parameters.running.mean.data<A>(), parameters.running.variance.data<A>(),
                                               mean.data<A>(), rstd.data<A>(), options.epsilon});
    normalise<T>(context, kept, parameters, y);
  });
  return y;
}

Value normalise_batch(Context& context, const Value& x, const BatchNormParameters& parameters,
                      const BatchNormOptions& options) {
  const NormExtents e = extents_of(context, x.shape(), options);
  const Tensor y = context.empty(x.shape(), x.dtype());
  const bool relu = options.activation == Activation::relu;
  BatchNormKept kept{Saved(x),
                     Saved(parameters.gain),
                     relu ? std::optional<Saved>(Value(y)) : std::nullopt,
                     {},
                     context.empty({e.groups, e.channels}, accum_dtype(x.dtype())),
                     context.empty({e.groups, e.channels}, accum_dtype(x.dtype())),
                     e,
                     std::holds_alternative<Synchronised>(options.statistics)};
  if (!context.on_meta()) {
    with_floating(x.dtype(), "batch_norm", [&](auto zero) {
      using T = decltype(zero);
      batch_statistics<T>(context, kept, parameters.running, options);
      normalise<T>(context, kept, parameters, y);
    });
  }
  const Value inputs[] = {x, parameters.gain, parameters.bias};
  return context.record({"batch_norm", inputs,
                         [kept](Context& c, Gradients& g) {
                           with_floating(kept.x.value().dtype(), "batch_norm",
                                         [&](auto zero) { gradient<decltype(zero)>(c, g, kept); });
                         }},
                        y);
}

}  // namespace

Value batch_norm(Context& context, const Value& x, const BatchNormParameters& parameters,
                 const BatchNormOptions& options) {
  check(x, parameters);
  require(options.epsilon >= 0 && options.momentum >= 0 && options.momentum <= 1,
          "batch_norm: epsilon {} must not be negative and momentum {} must be in [0, 1]", options.epsilon,
          options.momentum);
  const auto pass = context.training() ? normalise_batch : normalise_fixed;
  const Value y = pass(context, x, parameters, options);
  return options.activation == Activation::relu ? y : activate(context, y, options.activation);
}

}  // namespace trireme::ops
