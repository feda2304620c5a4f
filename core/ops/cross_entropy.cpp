#include "core/ops/cross_entropy.hpp"

#include "core/kernels/cross_entropy.hpp"
#include "core/kernels/launch.hpp"

namespace trireme::ops {
namespace {

/// Rows of logits and what is kept for the gradient.
struct Task {
  Saved logits;
  Tensor labels;
  CrossEntropyOptions options;
  Tensor top, scale;

  std::int64_t rows() const { return top.elements(); }
  std::int64_t classes() const { return logits.value().shape()[1]; }
  template <class T>
  kernels::CrossEntropyRows<T> kernel_rows() const {
    return {.logits = logits.get().template data<T>(),
            .labels = labels.data<std::int32_t>(),
            .weights = options.weights ? options.weights.data<float>() : nullptr,
            .rows = rows(),
            .classes = classes(),
            .ignore = options.ignore.value_or(0),
            .has_ignore = options.ignore ? 1u : 0u,
            .smoothing = static_cast<T>(options.smoothing),
            .top = top.data<T>(),
            .scale = scale.data<T>()};
  }
};

void check_shapes(const Value& logits, const Tensor& labels, const CrossEntropyOptions& options) {
  const Shape& shape = logits.shape();
  require(shape.dims() == 2 && shape[1] > 0, "cross_entropy: the logits are {}, wanted (rows, classes)", shape);
  const Shape rows{shape[0]};
  require(labels.shape() == rows && labels.dtype() == DType::i32,
          "cross_entropy: the labels are {} of {}, but logits {} want {} of i32", labels.shape(),
          name_of(labels.dtype()), shape, rows);
  require(!options.weights || (options.weights.shape() == rows && options.weights.dtype() == DType::f32),
          "cross_entropy: the weights are not {} of f32", rows);
  require(options.smoothing >= 0 && options.smoothing < 1,
          "cross_entropy: the label smoothing {} must be at least 0 and below 1", options.smoothing);
}

/// A label that does not exist is a fault of the data set: said before anything is computed.
void check_labels(const Tensor& labels, std::int64_t classes, const CrossEntropyOptions& options) {
  if (labels.device().kind != Device::Kind::cpu) return;
  const auto all = labels.span<std::int32_t>();
  const float* const weights = options.weights ? options.weights.data<float>() : nullptr;
  for (std::size_t row = 0; row < all.size(); ++row) {
    if (all[row] >= 0 && all[row] < classes) continue;
    if ((options.ignore && all[row] == *options.ignore) || (weights && weights[row] == 0)) continue;
    fail(ExitCode::corrupt_input,
         "cross_entropy: row {} has the label {}, but there are {} classes: labels must be 0 to {}; check the data set "
         "or the model's number of outputs",
         row, all[row], classes, classes - 1);
  }
}

template <class T>
void forward(Context& context, const Task& task, const Tensor& loss, const Tensor& totals) {
  const Tensor row_totals = context.empty({3, task.rows()}, DType::f64);
  launch_rows(context.stream(), {task.rows(), task.classes()},
              kernels::CrossEntropyForward<T>{task.kernel_rows<T>(), row_totals.data<double>()});
  launch_rows(
      context.stream(), {3, task.rows()},
      kernels::CrossEntropyFinish<T>{row_totals.data<double>(), totals.data<double>(), loss.data<T>(), task.rows()});
}

void backward(Context& context, Gradients& g, const Task& task) {
  const Tensor dloss = g.output();
  const Destination to = g.to(0);
  with_floating(dloss.dtype(), "cross_entropy", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {task.rows(), task.classes()},
                kernels::CrossEntropyGradient<T>{task.kernel_rows<T>(), dloss.data<T>(), to.tensor.data<T>(),
                                                 static_cast<T>(to.beta())});
  });
}

}  // namespace

CrossEntropyResult cross_entropy(Context& context, const Value& logits, const Tensor& labels,
                                 const CrossEntropyOptions& options) {
  check_shapes(logits, labels, options);
  check_labels(labels, logits.shape()[1], options);
  const Shape rows{logits.shape()[0]};
  const Task task{Saved(logits), labels, options, context.empty(rows, logits.dtype()),
                  context.empty(rows, logits.dtype())};
  const Tensor loss = context.empty({1}, logits.dtype()), totals = context.empty({3}, DType::f64);
  with_floating(logits.dtype(), "cross_entropy",
                [&](auto zero) { forward<decltype(zero)>(context, task, loss, totals); });
  return {
      context.record({"cross_entropy", {&logits, 1}, [task](Context& c, Gradients& g) { backward(c, g, task); }}, loss),
      totals};
}

}  // namespace trireme::ops
