#include "core/ops/cross_entropy_rows.hpp"

#include "core/kernels/cross_entropy.hpp"
#include "core/kernels/launch.hpp"

namespace trireme::ops {
namespace {

void check_labels(const char* op, const CrossEntropyTask& task) {
  if (task.labels.device().kind != Device::Kind::cpu) return;
  const CrossEntropyOptions& options = task.options;
  const auto all = task.labels.span<std::int32_t>();
  const float* const weights = options.weights ? options.weights.data<float>() : nullptr;
  for (std::size_t row = 0; row < all.size(); ++row) {
    if (all[row] >= 0 && all[row] < task.classes) continue;
    if ((options.ignore && all[row] == *options.ignore) || (weights && weights[row] == 0)) continue;
    fail(ExitCode::corrupt_input,
         "{}: row {} has the label {}, but there are {} classes: labels must be 0 to {}; check the data set or the "
         "model's number of outputs",
         op, row, all[row], task.classes, task.classes - 1);
  }
}

template <class T>
kernels::CrossEntropyRows<T> kernel_rows(const CrossEntropyTask& task, const Tensor& logits, std::int64_t first) {
  const std::int64_t count = logits.shape()[0];
  const CrossEntropyOptions& options = task.options;
  return {.logits = logits.data<T>(),
          .labels = task.labels.slice(first, count).data<std::int32_t>(),
          .weights = options.weights ? options.weights.slice(first, count).data<float>() : nullptr,
          .rows = task.rows(),
          .classes = task.classes,
          .ignore = options.ignore.value_or(0),
          .has_ignore = options.ignore ? 1u : 0u,
          .smoothing = static_cast<Accum<T>>(options.smoothing),
          .top = task.top.slice(first, count).data<Accum<T>>(),
          .scale = task.scale.slice(first, count).data<Accum<T>>()};
}

}  // namespace

CrossEntropyTask CrossEntropyTask::make(Context& context, const char* op, const LogitsKind& logits,
                                        const std::pair<const Tensor&, const CrossEntropyOptions&>& given) {
  const auto& [labels, options] = given;
  const Shape& shape = logits.shape;
  const Shape rows{shape[0]};
  require(labels.shape() == rows && labels.dtype() == DType::i32,
          "{}: the labels are {} of {}, but logits {} want {} of i32", op, labels.shape(), name_of(labels.dtype()),
          shape, rows);
  require(!options.weights || (options.weights.shape() == rows && options.weights.dtype() == DType::f32),
          "{}: the weights are not {} of f32", op, rows);
  context.require_here(op, "labels", labels);
  context.require_here(op, "weights", options.weights);
  require(options.smoothing >= 0 && options.smoothing < 1, "{}: the label smoothing {} must be at least 0 and below 1",
          op, options.smoothing);
  const CrossEntropyTask task{.labels = labels,
                              .options = options,
                              .top = context.empty(rows, accum_dtype(logits.dtype)),
                              .scale = context.empty(rows, accum_dtype(logits.dtype)),
                              .row_totals = context.empty({3, rows[0]}, DType::f64),
                              .classes = shape[1]};
  check_labels(op, task);
  return task;
}

void CrossEntropyTask::forward(Context& context, const Tensor& logits, std::int64_t first) const {
  if (context.on_meta()) return;
  with_floating(logits.dtype(), "cross_entropy", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(
        context.stream(), {logits.shape()[0], classes},
        kernels::CrossEntropyForward<T>{kernel_rows<T>(*this, logits, first), row_totals.data<double>() + first});
  });
}

void CrossEntropyTask::backward(Context& context, const Rows& rows) const {
  with_floating(rows.logits.dtype(), "cross_entropy", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(
        context.stream(), {rows.logits.shape()[0], classes},
        kernels::CrossEntropyGradient<T>{kernel_rows<T>(*this, rows.logits, rows.first), rows.dloss.data<Accum<T>>(),
                                         rows.to.tensor.data<T>(), rows.to.beta()});
  });
}

CrossEntropyTask::Sums CrossEntropyTask::sums(Context& context) const {
  const Sums out{context.empty({1}, top.dtype()), context.empty({3}, DType::f64)};
  with_wide_floating(top.dtype(), "cross_entropy", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {3, rows()},
                kernels::CrossEntropyFinish<T>{row_totals.data<double>(), out.totals.data<double>(), out.loss.data<T>(),
                                               rows()});
  });
  return out;
}

}  // namespace trireme::ops
