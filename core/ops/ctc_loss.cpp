// The connectionist temporal classification loss of losses.hpp.
#include "core/kernels/cross_entropy.hpp"
#include "core/kernels/ctc.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/losses.hpp"

namespace trireme::ops {
namespace {

struct CtcTask {
  Saved x;
  CtcTargets t;
  Tensor alpha, row_totals;

  std::int64_t batch() const { return x.value().shape()[0]; }
  std::int64_t states() const { return 2 * t.labels.shape()[1] + 1; }

  template <class T>
  kernels::CtcRows<T> rows() const {
    const Shape& shape = x.value().shape();
    return {.x = x.get().data<T>(),
            .labels = t.labels.data<std::int32_t>(),
            .frames = t.frames.data<std::int32_t>(),
            .targets = t.lengths.data<std::int32_t>(),
            .weights = t.weights ? t.weights.data<float>() : nullptr,
            .alpha = alpha.data<Accum<T>>(),
            .batch = shape[0],
            .time = shape[1],
            .classes = shape[2],
            .most_labels = t.labels.shape()[1],
            .blank = t.blank,
            .drop_impossible = t.impossible == CtcTargets::Impossible::ignored ? 1u : 0u};
  }
};

/// Lengths and labels of one sample, where they are in host memory.
void check_sample(const Shape& x, const CtcTargets& t, std::size_t b) {
  const std::int32_t frames = t.frames.span<std::int32_t>()[b], labels = t.lengths.span<std::int32_t>()[b];
  if (frames < 0 || frames > x[1] || labels < 0 || labels > t.labels.shape()[1])
    fail(ExitCode::corrupt_input,
         "ctc_loss: sample {} has {} frames and {} labels, but there is room for {} and {}; check its lengths", b,
         frames, labels, x[1], t.labels.shape()[1]);
  const auto row = t.labels.span<std::int32_t>().subspan(b * static_cast<std::size_t>(t.labels.shape()[1]));
  for (std::size_t k = 0; k < static_cast<std::size_t>(labels); ++k)
    if (row[k] < 0 || row[k] >= x[2] || row[k] == t.blank)
      fail(ExitCode::corrupt_input,
           "ctc_loss: label {} of sample {} is {}; wanted 0 to {}, but not the blank {}: check the data set", k, b,
           row[k], x[2] - 1, t.blank);
}

void check(Context& context, const Shape& x, const CtcTargets& t) {
  require(x.dims() == 3 && x[2] > 0, "ctc_loss: the logarithms are {}, wanted (B, T, classes)", x);
  const Shape& labels = t.labels.shape();
  require(labels.dims() == 2 && labels[0] == x[0] && t.labels.dtype() == DType::i32,
          "ctc_loss: the labels are {} of {}, wanted ({}, L) of i32", labels, name_of(t.labels.dtype()), x[0]);
  for (const Tensor* lengths : {&t.frames, &t.lengths})
    require(lengths->shape() == Shape{x[0]} && lengths->dtype() == DType::i32,
            "ctc_loss: the lengths are {} of {}, wanted ({}) of i32", lengths->shape(), name_of(lengths->dtype()),
            x[0]);
  require(!t.weights || (t.weights.shape() == Shape{x[0]} && t.weights.dtype() == DType::f32),
          "ctc_loss: the weights are not ({}) of f32", x[0]);
  require(t.blank >= 0 && t.blank < x[2], "ctc_loss: the blank {} is not one of the {} classes", t.blank, x[2]);
  for (const Tensor* part : {&t.labels, &t.frames, &t.lengths, &t.weights})
    context.require_here("ctc_loss", "labels, lengths and weights", *part);
  for (const Tensor* part : {&t.labels, &t.frames, &t.lengths})
    if (part->device().kind != Device::Kind::cpu) return;
  for (std::int64_t b = 0; b < x[0]; ++b) check_sample(x, t, static_cast<std::size_t>(b));
}

void gradient(Context& context, Gradients& g, const CtcTask& task) {
  const Tensor dloss = g.output();
  const Destination to = g.to(0);
  const Tensor scratch = context.empty({task.batch(), 3, task.states()}, task.alpha.dtype());
  with_floating(to.tensor.dtype(), "ctc_loss", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {task.batch(), to.tensor.shape().elements_from(1)},
                kernels::CtcGradient<T>{task.rows<T>(), scratch.data<Accum<T>>(), dloss.data<Accum<T>>(),
                                        to.tensor.data<T>(), to.beta()});
  });
}

}  // namespace

LossResult ctc_loss(Context& context, const Value& x, const CtcTargets& t) {
  const Shape& shape = x.shape();
  check(context, shape, t);
  const DType wide = accum_dtype(x.dtype());
  const std::int64_t states = 2 * t.labels.shape()[1] + 1;
  const CtcTask task{Saved(x), t, context.empty({shape[0], shape[1], states}, wide),
                     context.empty({3, shape[0]}, DType::f64)};
  with_floating(x.dtype(), "ctc_loss", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {shape[0], shape[1] * states},
                kernels::CtcForward<T>{task.rows<T>(), task.row_totals.data<double>()});
  });
  const Tensor loss = context.empty({1}, wide), totals = context.empty({3}, DType::f64);
  with_wide_floating(wide, "ctc_loss", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {3, shape[0]},
                kernels::CrossEntropyFinish<T>{task.row_totals.data<double>(), totals.data<double>(), loss.data<T>(),
                                               shape[0]});
  });
  return {context.record({"ctc_loss", {&x, 1}, [task](Context& c, Gradients& g) { gradient(c, g, task); }}, loss),
          totals};
}

}  // namespace trireme::ops
