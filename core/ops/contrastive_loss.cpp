// The contrastive loss of losses.hpp: norms, one product and a cross-entropy, over the keys of all parts of a batch.
#include <numeric>

#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/losses.hpp"
#include "core/ops/matmul.hpp"
#include "core/ops/plan_cache.hpp"
#include "core/ops/rms_norm.hpp"
#include "core/tape/write.hpp"

namespace trireme::ops {
namespace {

/// Rows of length 1: the RMS norm with a gain of 1 / sqrt(C).
Value unit_rows(Context& context, const Value& x) {
  const std::int64_t width = x.shape()[1];
  const Tensor gain = context.empty({width}, x.dtype());
  with_floating(x.dtype(), "contrastive_loss", [&](auto zero) {
    using T = decltype(zero);
    const auto each = static_cast<Accum<T>>(1 / std::sqrt(static_cast<double>(width)));
    launch_elements(context.stream(), width, kernels::Fill<T>{gain.data<T>(), each});
  });
  return rms_norm(context, x, gain, 1e-12);
}

/// The rows of all parts, in part order; their gradients come back as sums over the parts.
Value gathered(Context& context, const Value& x) {
  const std::int64_t parts = context.peers().parts();
  if (parts == 1) return x;
  const Tensor all = context.empty({parts * x.shape()[0], x.shape()[1]}, x.dtype());
  if (!context.on_meta()) context.peers().gather(x.tensor(), all);
  const auto gradient = [](Context& c, Gradients& g) {
    const Destination to = g.to(0);
    const Tensor dy = g.output();
    if (c.on_meta()) return;
    const bool adds = to.mode == Write::accumulate;
    const Tensor mine = adds ? c.empty(to.tensor.shape(), to.tensor.dtype()) : to.tensor;
    c.peers().scatter_sum(dy, mine);
    if (adds) write(c.stream(), {mine}, to);
  };
  return context.record({"gathered", {&x, 1}, gradient}, all);
}

/// first, first + 1, ... (rows) on the context's device; kept for the next call.
Tensor labels_from(Context& context, std::int64_t first, std::int64_t rows) {
  if (context.on_meta()) return Tensor::empty({rows}, DType::i32, Device::meta());
  static auto& kept = *new PlanCache<Tensor>;  // never destroyed: a GPU's runtime may be gone before
  const Device device = context.device();
  const PlanKey key{first, rows, static_cast<std::int64_t>(device.kind), device.index};
  return *kept.find_or_make(key, [&] {
    std::vector<std::int32_t> labels(static_cast<std::size_t>(rows));
    std::iota(labels.begin(), labels.end(), static_cast<std::int32_t>(first));
    return std::make_shared<Tensor>(Tensor::from(labels, {rows}, device));
  });
}

}  // namespace

LossResult contrastive_loss(Context& context, const Pairs& pairs, double temperature) {
  const Shape& shape = pairs.queries.shape();
  require(
      shape.dims() == 2 && shape[1] > 0 && pairs.keys.shape() == shape && pairs.keys.dtype() == pairs.queries.dtype(),
      "contrastive_loss: queries {} of {} and keys {} of {}; wanted (B, C) of one type for both", shape,
      name_of(pairs.queries.dtype()), pairs.keys.shape(), name_of(pairs.keys.dtype()));
  require(temperature > 0, "contrastive_loss: the temperature {} must be positive", temperature);
  const std::int64_t parts = context.peers().parts(), rows = shape[0];
  require(parts == 1 || context.on_meta() || context.global_rows() == parts * rows,
          "contrastive_loss: this part has {} rows of a batch of {} in {} parts; every part must hold the same number: "
          "choose a batch that the number of parts divides",
          rows, context.global_rows(), parts);
  const Value queries = unit_rows(context, pairs.queries), keys = gathered(context, unit_rows(context, pairs.keys));
  const Value likeness = matmul(context, queries, keys, {.transpose_b = Transpose::yes});
  const Tensor labels = labels_from(context, context.on_meta() ? 0 : context.peers().part() * rows, rows);
  return cross_entropy(context, scale(context, likeness, 1 / temperature), labels);
}

}  // namespace trireme::ops
