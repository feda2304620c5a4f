#include "core/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/checked.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/optimizer.hpp"
#include "core/kernels/whole_update.hpp"
#include "core/optim/whole_update.hpp"

namespace trireme {

using Kind = OptimizerOptions::Kind;

UpdateSettings settings_of(const OptimizerOptions& options, const ArenaEntry& entry) {
  const ParameterGroup* const group = group_of(options.groups, entry.name);
  const bool decays = entry.parameter->decay() == Decay::yes;
  UpdateSettings out{.rate_factor = 1, .weight_decay = decays ? options.weight_decay : 0};
  if (group == nullptr) return out;
  out.rate_factor = group->rate;
  if (group->weight_decay) out.weight_decay = *group->weight_decay;
  return out;
}

bool needs_whole(Kind kind, const Parameter& parameter) {
  if (kind == Kind::muon) return parameter.shape().dims() >= 2;
  return kind == Kind::lamb || kind == Kind::adafactor;
}

Optimizer::Optimizer(const OptimizerOptions& options, const ArenaLayout& layout, const Planes& planes)
    : options_(options), planes_(planes) {
  const std::int64_t n = layout.trained_elements();
  const auto add_moment = [&](const char* name) {
    moments_.push_back({name, Tensor::zeros({n}, layout.wide_dtype(), planes.param.device())});
  };
  const bool by_momentum = options.kind == Kind::sgd || options.kind == Kind::rmsprop;
  if (by_momentum ? options.momentum > 0 : options.kind != Kind::adafactor) add_moment("moment1");
  if (options.kind != Kind::sgd && options.kind != Kind::lion) add_moment("moment2");
  for (std::size_t k = 0; k < layout.trained(); ++k)
    add_entry(layout.entries()[k], k + 1 < layout.trained() ? layout.entries()[k + 1].offset : n);
  if (!wholes_.empty()) memory_ = std::make_unique<StepAllocator>(planes.param.device());
}

/// Neighbours of equal settings become one kernel call; the padding behind an entry belongs to it (it stays zero).
void Optimizer::add_entry(const ArenaEntry& entry, std::int64_t last) {
  const UpdateSettings settings = settings_of(options_, entry);
  if (needs_whole(options_.kind, *entry.parameter)) {
    wholes_.push_back({entry, settings});
  } else if (!runs_.empty() && runs_.back().settings == settings && runs_.back().last == entry.offset) {
    runs_.back().last = last;
  } else {
    runs_.push_back({entry.offset, last, settings});
  }
}

template <class A>
A* Optimizer::moment(const char* name, std::int64_t first) const {
  for (const NamedPlane& one : moments_)
    if (one.name == name) return one.plane.data<A>() + first;
  return nullptr;
}

template <class Param, class Grad>
void Optimizer::update(const Stream& stream, const StepState* state, const Run& run) {
  using A = Accum<Param>;
  const kernels::Updated<Param, Grad> of{.master = planes_.values().data<A>() + run.first,
                                         .param = planes_.param.data<Param>() + run.first,
                                         .grad = planes_.grad.data<Grad>() + run.first,
                                         .moment1 = moment<A>("moment1", run.first),
                                         .rate_factor = run.settings.rate_factor};
  A* const moment2 = moment<A>("moment2", run.first);
  const std::int64_t count = run.last - run.first;
  const auto number = [](double value) { return static_cast<A>(value); };
  const A decay = number(run.settings.weight_decay), none = 0, beta1 = number(options_.beta1);
  const A momentum = number(options_.momentum), beta2 = number(options_.beta2), epsilon = number(options_.epsilon);
  if (options_.kind == Kind::sgd) {
    const kernels::SgdUpdate<Param, Grad> kernel{
        .of = of,
        .state = state,
        .momentum = momentum,
        .weight_decay = decay,
        .nesterov = options_.nesterov == OptimizerOptions::Nesterov::on ? 1u : 0u};
    return launch_elements(stream, count, kernel);
  }
  if (options_.kind == Kind::rmsprop)
    return launch_elements(stream, count,
                           kernels::RmsPropUpdate<Param, Grad>{.of = of,
                                                               .moment2 = moment2,
                                                               .state = state,
                                                               .smoothing = number(options_.smoothing),
                                                               .momentum = momentum,
                                                               .epsilon = epsilon,
                                                               .l2 = decay});
  if (options_.kind == Kind::lion)
    return launch_elements(
        stream, count,
        kernels::LionUpdate<Param, Grad>{.of = of, .state = state, .beta1 = beta1, .beta2 = beta2, .decoupled = decay});
  const kernels::AdamUpdate<Param, Grad> kernel{.of = of,
                                                .moment2 = moment2,
                                                .state = state,
                                                .beta1 = beta1,
                                                .beta2 = beta2,
                                                .epsilon = epsilon,
                                                .l2 = options_.kind == Kind::adam ? decay : none,
                                                .decoupled = options_.kind == Kind::adam ? none : decay,
                                                .log_beta1 = std::log(options_.beta1),
                                                .log_beta2 = std::log(options_.beta2)};
  launch_elements(stream, count, kernel);
}

void Optimizer::update_whole(const Stream& stream, const StepState* state, const Whole& whole) {
  const ArenaEntry& entry = whole.entry;
  const auto part = [&](const Tensor& plane) { return plane.slice(entry.offset, entry.count); };
  const auto part_of = [&](const char* name) {
    for (const NamedPlane& one : moments_)
      if (one.name == name) return part(one.plane);
    return Tensor();
  };
  const WholeUpdate update{.options = options_,
                           .settings = whole.settings,
                           .state = state,
                           .shape = entry.parameter->shape(),
                           .values = part(planes_.values()),
                           .param = part(planes_.param),
                           .grad = part(planes_.grad),
                           .moment1 = part_of("moment1"),
                           .moment2 = part_of("moment2")};
  Context context(stream, *memory_);
  run_whole_update(context, update);
}

void Optimizer::step(const Stream& stream, const StepState* state) {
  step_range(stream, state, 0, planes_.grad.elements());
  count_version();
}

void Optimizer::step_range(const Stream& stream, const StepState* state, std::int64_t first, std::int64_t count) {
  const std::int64_t last = first + count;
  for (const Whole& whole : wholes_) {
    const std::int64_t begin = whole.entry.offset, end = begin + whole.entry.count;
    if (end <= first || begin >= last) continue;
    if (begin < first || end > last)
      fail(
          ExitCode::usage,
          "this optimizer needs each whole parameter, but the elements {} to {} cut {}, which has {} to {}: let shards "
          "end between parameters, or choose sgd, adam, adamw, rmsprop or lion",
          first, last, whole.entry.name, begin, end);
  }
  for (const Whole& whole : wholes_)
    if (whole.entry.offset >= first && whole.entry.offset < last) update_whole(stream, state, whole);
  const bool same = planes_.grad.dtype() == planes_.param.dtype();
  with_floating(planes_.param.dtype(), "optimizer", [&](auto zero) {
    using T = decltype(zero);
    for (const Run& run : runs_) {
      const Run part{std::max(run.first, first), std::min(run.last, last), run.settings};
      if (part.first >= part.last) continue;
      same ? update<T, T>(stream, state, part) : update<T, Accum<T>>(stream, state, part);
    }
  });
}

void Optimizer::count_version() { planes_.param.buffer()->bump_version(); }

WeightAverage::WeightAverage(double decay, const Planes& planes)
    : decay_(decay), planes_(planes), average_(planes.values().clone()) {
  require(decay >= 0 && decay < 1, "the decay {} of an average of weights must be at least 0 and below 1", decay);
}

void WeightAverage::step(const Stream& stream, const StepState* state) const {
  with_wide_floating(average_.dtype(), "average", [&](auto zero) {
    using A = decltype(zero);
    launch_elements(
        stream, average_.elements(),
        kernels::AverageWeights<A>{planes_.values().data<A>(), average_.data<A>(), state, static_cast<A>(decay_)});
  });
}

void WeightAverage::restart(const Stream& stream) const { average_.copy_from(planes_.values(), stream); }

void WeightAverage::exchange(const Stream& stream) const {
  const Tensor kept = Tensor::empty(average_.shape(), average_.dtype(), average_.device());
  kept.copy_from(average_, stream);
  average_.copy_from(planes_.values(), stream);
  planes_.values().copy_from(kept, stream);
}

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
