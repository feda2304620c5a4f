#include "core/ops/cross_entropy.hpp"

#include "core/ops/cross_entropy_rows.hpp"

namespace trireme::ops {

CrossEntropyResult cross_entropy(Context& context, const Value& logits, const Tensor& labels,
                                 const CrossEntropyOptions& options) {
  const Shape& shape = logits.shape();
  require(shape.dims() == 2 && shape[1] > 0, "cross_entropy: the logits are {}, wanted (rows, classes)", shape);
  const CrossEntropyTask task =
      CrossEntropyTask::make(context, "cross_entropy", {shape, logits.dtype()}, {labels, options});
  task.forward(context, logits.tensor(), 0);
  const auto [loss, totals] = task.sums(context);
  const Saved kept(logits);
  const auto gradient = [task, kept](Context& c, Gradients& g) {
    const Tensor dloss = g.output();
    task.backward(c, {kept.get(), dloss, 0, g.to(0)});
  };
  return {context.record({"cross_entropy", {&logits, 1}, gradient}, loss), totals};
}

}  // namespace trireme::ops
