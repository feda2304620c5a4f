#include "core/ops/losses.hpp"

#include <algorithm>

#include "core/kernels/cross_entropy.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/losses.hpp"

namespace trireme::ops {
namespace {

const float* weights_of(const Tensor& weights) { return weights ? weights.data<float>() : nullptr; }

void check_weights(Context& context, const char* op, const Tensor& weights, std::int64_t samples) {
  require(!weights || (weights.shape() == Shape{samples} && weights.dtype() == DType::f32),
          "{}: the weights are not ({}) of f32", op, samples);
  context.require_here(op, "weights", weights);
}

/// What a loss leaves on the tape; holds the memory its kernels read.
struct LossTask {
  Saved x;
  Tensor targets, weights, row_totals;
  std::int64_t rows, features;

  template <class T>
  kernels::LossRows<T> loss_rows() const {
    return {weights_of(weights), row_totals.data<double>(), rows, features};
  }
};

/// Adds up the rows' totals and records the loss.
LossResult finish(Context& context, const LossTask& task, TapeEntry entry) {
  const DType wide = accum_dtype(task.x.value().dtype());
  const Tensor loss = context.empty({1}, wide), totals = context.empty({3}, DType::f64);
  with_wide_floating(wide, entry.name, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {3, task.rows},
                kernels::CrossEntropyFinish<T>{task.row_totals.data<double>(), totals.data<double>(), loss.data<T>(),
                                               task.rows});
  });
  return {context.record(std::move(entry), loss), totals};
}

enum class Counts : std::uint8_t { elements, samples };

/// A loss of one of the functions of kernels/losses.hpp.
template <template <class> class F>
LossResult point_loss(Context& context, const Value& x, const PointTargets& t,
                      const std::pair<kernels::Numbers, Counts>& how) {
  const char* const name = F<float>::name;
  const auto& [numbers, counts] = how;
  require(x.shape().dims() > 0 && t.targets.shape() == x.shape() && t.targets.dtype() == x.dtype(),
          "{}: the targets are {} of {} for predictions {} of {}; wanted one shape (B, ...) and type", name,
          t.targets.shape(), name_of(t.targets.dtype()), x.shape(), name_of(x.dtype()));
  context.require_here(name, "targets", t.targets);
  const std::int64_t rows = x.shape()[0], features = x.shape().elements_from(1);
  check_weights(context, name, t.weights, rows);
  const LossTask task{Saved(x), t.targets, t.weights, context.empty({3, rows}, DType::f64), rows, features};
  const double each = counts == Counts::elements ? static_cast<double>(features) : 1;
  with_floating(x.dtype(), name, [&, &numbers = numbers](auto zero) {
    using T = decltype(zero);
    using Function = F<Accum<T>>;
    launch_rows(context.stream(), {rows, features},
                kernels::PointLoss<T, Function>{task.loss_rows<T>(), x.tensor().data<T>(), t.targets.data<T>(), each,
                                                Function::of(numbers)});
  });
  const auto gradient = [task, numbers = numbers](Context& c, Gradients& g) {
    const Tensor dloss = g.output();
    const Destination to = g.to(0);
    with_floating(to.tensor.dtype(), F<float>::gradient_name, [&](auto zero) {
      using T = decltype(zero);
      using Function = F<Accum<T>>;
      launch_rows(c.stream(), {task.rows, task.features},
                  kernels::PointLossGradient<T, Function>{task.loss_rows<T>(), task.x.get().template data<T>(),
                                                          task.targets.data<T>(), dloss.data<Accum<T>>(),
                                                          to.tensor.data<T>(), to.beta(), Function::of(numbers)});
    });
  };
  return finish(context, task, {name, {&x, 1}, gradient});
}

}  // namespace

LossResult squared_loss(Context& context, const Value& x, const PointTargets& t) {
  return point_loss<kernels::SquaredLoss>(context, x, t, {{}, Counts::elements});
}

LossResult absolute_loss(Context& context, const Value& x, const PointTargets& t) {
  return point_loss<kernels::AbsoluteLoss>(context, x, t, {{}, Counts::elements});
}

LossResult smooth_l1_loss(Context& context, const Value& x, const PointTargets& t, double width) {
  require(width > 0, "smooth_l1_loss: the width {} must be positive; absolute_loss has none", width);
  return point_loss<kernels::SmoothL1Loss>(context, x, t, {{width}, Counts::elements});
}

LossResult binary_cross_entropy(Context& context, const Value& x, const PointTargets& t, double positive) {
  require(positive > 0, "binary_cross_entropy: the factor of positive targets {} must be positive", positive);
  return point_loss<kernels::BinaryCrossEntropyLoss>(context, x, t, {{positive}, Counts::elements});
}

LossResult hinge_loss(Context& context, const Value& x, const PointTargets& t, double margin) {
  return point_loss<kernels::HingeLoss>(context, x, t, {{margin}, Counts::elements});
}

LossResult kl_divergence(Context& context, const Value& x, const PointTargets& t) {
  return point_loss<kernels::DivergenceLoss>(context, x, t, {{}, Counts::samples});
}

namespace {

void check_labels(Context& context, const Shape& x, const LabelTargets& t) {
  const char* const op = "multi_class_hinge";
  require(x.dims() == 2 && x[1] > 0 && t.labels.shape() == Shape{x[0]} && t.labels.dtype() == DType::i32,
          "{}: predictions {} and labels {} of {}; wanted (rows, classes) and (rows) of i32", op, x, t.labels.shape(),
          name_of(t.labels.dtype()));
  context.require_here(op, "labels", t.labels);
  check_weights(context, op, t.weights, x[0]);
  if (t.labels.device().kind != Device::Kind::cpu) return;
  const auto all = t.labels.span<std::int32_t>();
  const float* const weights = weights_of(t.weights);
  for (std::size_t row = 0; row < all.size(); ++row)
    if ((all[row] < 0 || all[row] >= x[1]) && !(weights && weights[row] == 0))
      fail(ExitCode::corrupt_input,
           "{}: row {} has the label {}, but there are {} classes: labels must be 0 to {}; check the data set or the "
           "model's number of outputs",
           op, row, all[row], x[1], x[1] - 1);
}

template <class T>
kernels::MarginLoss<T> margin_kernel(const LossTask& task, double margin) {
  return {task.loss_rows<T>(), task.x.get().template data<T>(), task.targets.data<std::int32_t>(),
          static_cast<Accum<T>>(margin)};
}

}  // namespace

LossResult multi_class_hinge(Context& context, const Value& x, const LabelTargets& t, double margin) {
  check_labels(context, x.shape(), t);
  const std::int64_t rows = x.shape()[0], classes = x.shape()[1];
  const LossTask task{Saved(x), t.labels, t.weights, context.empty({3, rows}, DType::f64), rows, classes};
  with_floating(x.dtype(), "multi_class_hinge", [&](auto zero) {
    launch_rows(context.stream(), {rows, classes}, margin_kernel<decltype(zero)>(task, margin));
  });
  const auto gradient = [task, margin](Context& c, Gradients& g) {
    const Tensor dloss = g.output();
    const Destination to = g.to(0);
    with_floating(to.tensor.dtype(), "multi_class_hinge", [&](auto zero) {
      using T = decltype(zero);
      launch_rows(c.stream(), {task.rows, task.features},
                  kernels::MarginLossGradient<T>{margin_kernel<T>(task, margin), dloss.data<Accum<T>>(),
                                                 to.tensor.data<T>(), to.beta()});
    });
  };
  return finish(context, task, {"multi_class_hinge", {&x, 1}, gradient});
}

}  // namespace trireme::ops
