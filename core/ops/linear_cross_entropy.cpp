#include "core/ops/linear_cross_entropy.hpp"

#include <algorithm>

#include "core/ops/cross_entropy_rows.hpp"
#include "core/ops/gemm.hpp"

namespace trireme::ops {
namespace {

struct Head {
  Saved hidden, weight;
  CrossEntropyTask task;
  std::int64_t width, chunk_rows;
  Tensor kept_logits;  ///< Null where they are computed again.

  std::int64_t rows() const { return task.rows(); }
};

/// Rows of one pass over the vocabulary.
struct Chunk {
  std::int64_t first, count;
};

/// chunk(...) over all rows, also once where there are none (then it sets gradients to zero).
template <class F>
void for_each_chunk(const Head& head, const F& chunk) {
  for (std::int64_t first = 0; first == 0 || first < head.rows(); first += head.chunk_rows)
    chunk(Chunk{first, std::min(head.chunk_rows, head.rows() - first)});
}

/// Logits of a chunk, in the first rows of `room`.
Tensor logits_of(Context& context, const Head& head, const Chunk& chunk, const Tensor& room) {
  Tensor logits = room.slice(0, chunk.count);
  const Product product{.a = head.hidden.get().slice(chunk.first, chunk.count),
                        .b = head.weight.get(),
                        .m = chunk.count,
                        .n = head.task.classes,
                        .k = head.width,
                        .transpose_b = Transpose::yes};
  product_into(context, product, {logits, Write::overwrite});
  return logits;
}

/// dhidden = dlogits weight for the chunk's rows.
void hidden_gradient(Context& context, const Head& head, const Chunk& chunk, const std::pair<Tensor, Destination>& io) {
  const auto& [dlogits, to] = io;
  const Product product{
      .a = dlogits, .b = head.weight.get(), .m = chunk.count, .n = head.width, .k = head.task.classes};
  product_into(context, product, {to.tensor.slice(chunk.first, chunk.count), to.mode});
}

/// dweight = dlogits^T hidden, summed over the chunks.
void weight_gradient(Context& context, const Head& head, const Chunk& chunk, const std::pair<Tensor, Destination>& io) {
  const auto& [dlogits, to] = io;
  const Product product{.a = dlogits,
                        .b = head.hidden.get().slice(chunk.first, chunk.count),
                        .m = head.task.classes,
                        .n = head.width,
                        .k = chunk.count,
                        .transpose_a = Transpose::yes};
  product_into(context, product, {to.tensor, chunk.first == 0 ? to.mode : Write::accumulate});
}

void gradient(Context& context, Gradients& g, const Head& head) {
  const Tensor dloss = g.output();
  const bool of_hidden = g.wanted(0), of_weight = g.wanted(1);
  const Destination hidden = of_hidden ? g.to(0) : Destination{}, weight = of_weight ? g.to_stored(1) : Destination{};
  const bool kept = static_cast<bool>(head.kept_logits);
  const Tensor room =
      kept ? head.kept_logits
           : context.empty({std::min(head.chunk_rows, head.rows()), head.task.classes}, head.hidden.value().dtype());
  for_each_chunk(head, [&](const Chunk& chunk) {
    const Tensor logits = kept ? room : logits_of(context, head, chunk, room);
    head.task.backward(context, {logits, dloss, chunk.first, {logits, Write::overwrite}});
    if (of_hidden) hidden_gradient(context, head, chunk, {logits, hidden});
    if (of_weight) weight_gradient(context, head, chunk, {logits, weight});
  });
}

void check(const HeadParameters& p, const LinearCrossEntropyOptions& options) {
  const Shape &hidden = p.hidden.shape(), &weight = p.weight.shape();
  require(hidden.dims() == 2 && weight.dims() == 2 && hidden[1] == weight[1] && weight[0] > 0 && weight[1] > 0 &&
              p.hidden.dtype() == p.weight.dtype(),
          "linear_cross_entropy: hidden is {} of {} and the weight {} of {}; wanted (N, C) and (V, C) of one type",
          hidden, name_of(p.hidden.dtype()), weight, name_of(p.weight.dtype()));
  require(options.chunk_bytes > 0, "linear_cross_entropy: chunk_bytes {} must be positive", options.chunk_bytes);
}

}  // namespace

CrossEntropyResult linear_cross_entropy(Context& context, const HeadParameters& p, const Tensor& labels,
                                        const LinearCrossEntropyOptions& options) {
  check(p, options);
  const std::int64_t rows = p.hidden.shape()[0], classes = p.weight.shape()[0];
  const auto row_bytes = classes * static_cast<std::int64_t>(size_of(p.hidden.dtype()));
  const Value inputs[] = {p.hidden, p.weight};
  Head head{.hidden = Saved(p.hidden),
            .weight = Saved(p.weight),
            .task = CrossEntropyTask::make(context, "linear_cross_entropy", {{rows, classes}, p.hidden.dtype()},
                                           {labels, options.loss}),
            .width = p.hidden.shape()[1],
            .chunk_rows = std::max<std::int64_t>(1, options.chunk_bytes / row_bytes),
            .kept_logits = {}};
  const Tensor room = context.empty({std::min(head.chunk_rows, rows), classes}, p.hidden.dtype());
  for_each_chunk(head, [&](const Chunk& chunk) {
    head.task.forward(context, logits_of(context, head, chunk, room), chunk.first);
  });
  if (context.tape() && rows <= head.chunk_rows) head.kept_logits = room;
  const auto [loss, totals] = head.task.sums(context);
  return {context.record({"linear_cross_entropy", inputs, [head](Context& c, Gradients& g) { gradient(c, g, head); }},
                         loss),
          totals};
}

}  // namespace trireme::ops
