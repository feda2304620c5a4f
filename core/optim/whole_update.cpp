#include "core/optim/whole_update.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/checked.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/optimizer.hpp"
#include "core/kernels/whole_update.hpp"
#include "core/ops/gemm.hpp"
#include "core/tape/write.hpp"

namespace trireme {
namespace {

using Kind = OptimizerOptions::Kind;

/// The gradient times the step's factor, in the type of the masters: where the direction is made.
Tensor scaled_gradient(Context& context, const WholeUpdate& u) {
  const Tensor out = context.empty({u.grad.elements()}, u.values.dtype());
  with_floating(u.grad.dtype(), "optimizer", [&](auto zero) {
    using Grad = decltype(zero);
    using A = Accum<Grad>;
    launch_elements(context.stream(), out.elements(),
                    kernels::ScaledGradient<A, Grad>{u.grad.data<Grad>(), out.data<A>(), u.state});
  });
  return out;
}

template <class A>
struct Task {
  Context& context;
  const WholeUpdate& u;
  Tensor direction;

  const Stream& stream() const { return context.stream(); }
  std::int64_t count() const { return direction.elements(); }

  /// One number on the device, from the norms of the values and of the direction.
  Tensor pace(kernels::Pace kind) const {
    const std::int64_t partials = norm_partials(count());
    const Tensor of_value = context.empty({partials}, DType::f64), of_direction = context.empty({partials}, DType::f64);
    plane_squares(stream(), u.values, of_value);
    plane_squares(stream(), direction, of_direction);
    const Tensor out = context.empty({1}, direction.dtype());
    launch_rows(stream(), {1, partials},
                kernels::FindPace<A>{of_value.data<double>(), of_direction.data<double>(), out.data<A>(), u.state,
                                     partials, count(), u.settings.rate_factor, kind});
    return out;
  }

  /// How a direction becomes an update.
  struct Step {
    Tensor pace = {};  ///< Null: the rate times `factor`.
    double factor = 1, decay = 0;
  };
  void apply(const Step& step) const {
    with_floating(u.param.dtype(), "optimizer", [&](auto zero) {
      using Param = decltype(zero);
      if constexpr (std::is_same_v<Accum<Param>, A>)
        launch_elements(
            stream(), count(),
            kernels::ApplyDirection<Param>{u.values.data<A>(), u.param.data<Param>(), direction.data<A>(),
                                           step.pace ? step.pace.template data<A>() : nullptr, u.state,
                                           u.settings.rate_factor, step.factor, static_cast<A>(step.decay)});
    });
  }
};

template <class A>
void lamb(const Task<A>& task) {
  const WholeUpdate& u = task.u;
  const OptimizerOptions& o = u.options;
  launch_elements(task.stream(), task.count(),
                  kernels::LambDirection<A>{
                      task.direction.template data<A>(), u.values.data<A>(), u.moment1.data<A>(), u.moment2.data<A>(),
                      u.state, static_cast<A>(o.beta1), static_cast<A>(o.beta2), static_cast<A>(o.epsilon),
                      static_cast<A>(u.settings.weight_decay), std::log(o.beta1), std::log(o.beta2)});
  task.apply({.pace = task.pace(kernels::Pace::lamb)});
}

/// The power of the step by which averages of squares open: PyTorch's and the paper's.
constexpr double adafactor_power = -0.8;

template <class A>
void adafactor(const Task<A>& task) {
  const WholeUpdate& u = task.u;
  const std::int64_t rows = u.shape.dims() >= 2 ? u.shape[0] : 1, columns = rows > 0 ? task.count() / rows : 0;
  const bool factored = rows >= 2 && columns >= 2;  // else rows and columns take more room than the elements
  A* const direction = task.direction.template data<A>();
  A* const of_rows = u.moment2.data<A>();
  A* const of_columns = factored && of_rows != nullptr ? of_rows + rows : nullptr;
  const Tensor mean = task.context.empty({1}, task.direction.dtype());
  if (factored) {
    launch_rows(task.stream(), {rows, columns},
                kernels::AdafactorRows<A>{direction, of_rows, u.state, columns, adafactor_power});
    launch_elements(task.stream(), columns,
                    kernels::AdafactorColumns<A>{direction, of_columns, u.state, rows, columns, adafactor_power});
    launch_rows(task.stream(), {1, rows}, kernels::AdafactorMean<A>{of_rows, mean.data<A>(), rows});
  }
  launch_elements(task.stream(), task.count(),
                  kernels::AdafactorDirection<A>{direction, of_rows, of_columns, mean.data<A>(), u.state, columns,
                                                 adafactor_power, static_cast<A>(u.options.epsilon)});
  task.apply({.pace = task.pace(kernels::Pace::adafactor), .decay = u.settings.weight_decay});
}

/// x (rows, columns) made nearly orthogonal: five steps x <- a x + (b S + c S S) x with S = x x^T, or from the right
/// where rows are longer than columns (Newton and Schulz's iteration with the coefficients of Muon).
Tensor orthogonal(Context& context, Tensor x, std::int64_t rows, std::int64_t columns) {
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  const bool wide = rows <= columns;
  const std::int64_t side = std::min(rows, columns);
  using ops::Transpose;
  const Tensor square = context.empty({side, side}, x.dtype()), fourth = context.empty({side, side}, x.dtype());
  Tensor other = context.empty(x.shape(), x.dtype());
  const Stream& stream = context.stream();
  for (int step = 0; step < 5; ++step) {
    ops::product_into(context,
                      {.a = x,
                       .b = x,
                       .m = side,
                       .n = side,
                       .k = std::max(rows, columns),
                       .transpose_a = wide ? Transpose::no : Transpose::yes,
                       .transpose_b = wide ? Transpose::yes : Transpose::no},
                      {square, Write::overwrite});
    ops::product_into(context, {.a = square, .b = square, .m = side, .n = side, .k = side}, {fourth, Write::overwrite});
    write(stream, {fourth, c}, {fourth, Write::overwrite});
    write(stream, {square, b}, {fourth, Write::accumulate});
    write(stream, {x, a}, {other, Write::overwrite});
    ops::product_into(context, {.a = wide ? fourth : x, .b = wide ? x : fourth, .m = rows, .n = columns, .k = side},
                      {other, Write::accumulate});
    std::swap(x, other);
  }
  return x;
}

template <class A>
void muon(Task<A> task) {
  const WholeUpdate& u = task.u;
  const std::int64_t rows = u.shape[0], columns = rows > 0 ? task.count() / rows : 0;
  launch_elements(task.stream(), task.count(),
                  kernels::MuonMoment<A>{task.direction.template data<A>(), u.moment1.data<A>(), u.state,
                                         static_cast<A>(u.options.momentum),
                                         u.options.nesterov == OptimizerOptions::Nesterov::on ? 1u : 0u});
  const Tensor shrink = task.pace(kernels::Pace::inverse);
  launch_elements(task.stream(), task.count(),
                  kernels::ScaleBy<A>{task.direction.template data<A>(), shrink.data<A>()});
  task.direction = orthogonal(task.context, task.direction.reshape({rows, columns}), rows, columns);
  const double tall = static_cast<double>(rows) / static_cast<double>(columns);
  task.apply({.factor = std::sqrt(std::max(1.0, tall)), .decay = u.settings.weight_decay});
}

}  // namespace

void run_whole_update(Context& context, const WholeUpdate& update) {
  if (update.values.elements() == 0) return;
  with_wide_floating(update.values.dtype(), "optimizer", [&](auto zero) {
    const Task<decltype(zero)> task{context, update, scaled_gradient(context, update)};
    if (update.options.kind == Kind::lamb) return lamb(task);
    if (update.options.kind == Kind::adafactor) return adafactor(task);
    muon(task);
  });
}

}  // namespace trireme
