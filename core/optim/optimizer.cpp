#include "core/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/checked.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/optimizer.hpp"

namespace trireme {

using Kind = OptimizerOptions::Kind;

Optimizer::Optimizer(const OptimizerOptions& options, const ArenaLayout& layout, const Planes& planes)
    : options_(options), planes_(planes) {
  const std::int64_t n = layout.trained_elements();
  const auto moment = [&](const char* name) {
    moments_.push_back({name, Tensor::zeros({n}, layout.wide_dtype(), planes.param.device())});
  };
  if (options.kind != Kind::sgd || options.momentum > 0) moment("moment1");
  if (options.kind != Kind::sgd) moment("moment2");
  // Neighbours of equal decay become one kernel call; the padding behind an entry belongs to it (it stays zero).
  for (std::size_t k = 0; k < layout.trained(); ++k) {
    const ArenaEntry& entry = layout.entries()[k];
    const std::int64_t last = k + 1 < layout.trained() ? layout.entries()[k + 1].offset : n;
    const Decay decay = options.weight_decay > 0 ? entry.parameter->decay() : Decay::no;
    if (runs_.empty() || runs_.back().decay != decay) {
      runs_.push_back({entry.offset, last, decay});
    } else {
      runs_.back().last = last;
    }
  }
}

template <class Param, class Grad>
void Optimizer::update(const Stream& stream, const StepState* state, const Run& run) {
  using A = Accum<Param>;
  const kernels::Updated<Param, Grad> of{
      .master = planes_.values().data<A>() + run.first,
      .param = planes_.param.data<Param>() + run.first,
      .grad = planes_.grad.data<Grad>() + run.first,
      .moment1 = moments_.empty() ? nullptr : moments_[0].plane.data<A>() + run.first};
  const auto decay = static_cast<A>(run.decay == Decay::yes ? options_.weight_decay : 0.0);
  if (options_.kind == Kind::sgd) {
    const kernels::SgdUpdate<Param, Grad> kernel{
        .of = of,
        .state = state,
        .momentum = static_cast<A>(options_.momentum),
        .weight_decay = decay,
        .nesterov = options_.nesterov == OptimizerOptions::Nesterov::on ? 1u : 0u};
    return launch_elements(stream, run.last - run.first, kernel);
  }
  const A none = 0;
  const kernels::AdamUpdate<Param, Grad> kernel{.of = of,
                                                .moment2 = moments_[1].plane.data<A>() + run.first,
                                                .state = state,
                                                .beta1 = static_cast<A>(options_.beta1),
                                                .beta2 = static_cast<A>(options_.beta2),
                                                .epsilon = static_cast<A>(options_.epsilon),
                                                .l2 = options_.kind == Kind::adam ? decay : none,
                                                .decoupled = options_.kind == Kind::adamw ? decay : none,
                                                .log_beta1 = std::log(options_.beta1),
                                                .log_beta2 = std::log(options_.beta2)};
  launch_elements(stream, run.last - run.first, kernel);
}

void Optimizer::step(const Stream& stream, const StepState* state) {
  step_range(stream, state, 0, planes_.grad.elements());
  count_version();
}

void Optimizer::step_range(const Stream& stream, const StepState* state, std::int64_t first, std::int64_t count) {
  const bool same = planes_.grad.dtype() == planes_.param.dtype();
  with_floating(planes_.param.dtype(), "optimizer", [&](auto zero) {
    using T = decltype(zero);
    for (const Run& run : runs_) {
      const Run part{std::max(run.first, first), std::min(run.last, first + count), run.decay};
      if (part.first >= part.last) continue;
      same ? update<T, T>(stream, state, part) : update<T, Accum<T>>(stream, state, part);
    }
  });
}

void Optimizer::count_version() { planes_.param.buffer()->bump_version(); }

std::int64_t norm_partials(std::int64_t elements) { return ceil_div(elements, kernels::norm_chunk); }

void plane_squares(const Stream& stream, const Tensor& plane, const Tensor& partials) {
  with_floating(plane.dtype(), "norm", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(stream, {norm_partials(plane.elements()), kernels::norm_chunk},
                kernels::SquaredNorm<T>{plane.data<T>(), partials.data<double>(), plane.elements()});
  });
}

PlaneNorm plane_norm(const Stream& stream, const Tensor& plane) {
  const Tensor partials = Tensor::empty({norm_partials(plane.elements())}, DType::f64, plane.device());
  plane_squares(stream, plane, partials);
  stream.synchronize();
  PlaneNorm norm;
  for (const double partial : partials.to_vector<double>()) norm.squared += partial;
  norm.finite = std::isfinite(norm.squared);
  return norm;
}

}  // namespace trireme
