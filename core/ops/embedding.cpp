#include "core/ops/embedding.hpp"

#include <algorithm>
#include <limits>

#include "core/kernels/accumulate.hpp"
#include "core/kernels/embedding.hpp"
#include "core/kernels/launch.hpp"

namespace trireme::ops {
namespace {

using kernels::TokenIndex;

/// The tokens of one call; holds the indices' memory.
struct EmbeddingTask {
  Tensor ids, position_of;
  std::int64_t tokens, time, features, first_position;

  TokenIndex id_index(std::int64_t rows) const { return {ids.data<std::int32_t>(), time, 0, rows}; }
  TokenIndex position_index(std::int64_t rows) const {
    return {position_of ? position_of.data<std::int32_t>() : nullptr, time, first_position, rows};
  }
};

void check(const Tensor& ids, const EmbeddingParameters& p, const EmbeddingOptions& options) {
  const Shape& table = p.table.shape();
  require(ids.shape().dims() == 2 && ids.dtype() == DType::i32, "embedding: the ids are {} of {}, wanted (B, T) of i32",
          ids.shape(), name_of(ids.dtype()));
  require(table.dims() == 2, "embedding: the table is {}, wanted (V, C)", table);
  require(ids.elements() <= std::numeric_limits<std::int32_t>::max(), "embedding: {} tokens are too many at once",
          ids.elements());
  require(
      !options.position_of || (options.position_of.shape() == ids.shape() && options.position_of.dtype() == DType::i32),
      "embedding: position_of is not {} of i32, the shape of the ids", ids.shape());
  if (!p.positions.tensor()) return;
  const Shape& positions = p.positions.shape();
  require(positions.dims() == 2 && positions[1] == table[1] && p.positions.dtype() == p.table.dtype(),
          "embedding: the position table is {} of {}, but a table {} of {} wants (Tmax, {})", positions,
          name_of(p.positions.dtype()), table, name_of(p.table.dtype()), table[1]);
  require(
      options.position_of || (options.first_position >= 0 && options.first_position + ids.shape()[1] <= positions[0]),
      "embedding: tokens at positions {} to {}, but there are {} positions: shorten the sequences or build the model "
      "with a longer context",
      options.first_position, options.first_position + ids.shape()[1] - 1, positions[0]);
}

/// An index that does not exist is a fault of the data set or the caller: said before anything is computed.
void check_indices(const Tensor& indices, std::int64_t rows, const char* what) {
  if (!indices || indices.device().kind != Device::Kind::cpu) return;
  const auto all = indices.span<std::int32_t>();
  const auto wrong =
      std::find_if(all.begin(), all.end(), [rows](std::int32_t index) { return index < 0 || index >= rows; });
  if (wrong == all.end()) return;
  const std::int64_t at = wrong - all.begin(), time = indices.shape()[1];
  fail(ExitCode::corrupt_input,
       "embedding: token {} of row {} has the {} {}, but the table has {} rows: it must be 0 to {}; check the data set "
       "(is it of this tokenizer?) or the model's size",
       at % time, at / time, what, *wrong, rows, rows - 1);
}

struct Chain {
  Tensor next, head;
};

/// What the kernel TokenChain finds, in one pass over the tokens from their end.
void chain_tokens(Context& context, const TokenIndex& index, const Chain& chain) {
  const Tensor last = context.empty({index.rows}, DType::i32);  // the earliest token seen so far of each row
  const auto seen = last.span<std::int32_t>();
  std::fill(seen.begin(), seen.end(), -1);
  const auto next = chain.next.span<std::int32_t>(), head = chain.head.span<std::int32_t>();
  for (std::size_t token = next.size(); token-- > 0;) {
    std::int32_t& later = seen[static_cast<std::size_t>(index.at(static_cast<std::int64_t>(token)))];
    next[token] = later;
    head[token] = 1;
    if (later >= 0) head[static_cast<std::size_t>(later)] = 0;
    later = static_cast<std::int32_t>(token);
  }
}

Chain chain_of(Context& context, const TokenIndex& index, std::int64_t tokens) {
  const Chain chain{context.empty({tokens}, DType::i32), context.empty({tokens}, DType::i32)};
  if (context.device().kind == Device::Kind::cpu) {
    chain_tokens(context, index, chain);
  } else {
    launch_rows(context.stream(), {tokens, tokens},
                kernels::TokenChain{index, chain.next.data<std::int32_t>(), chain.head.data<std::int32_t>(), tokens});
  }
  return chain;
}

void table_gradient(Context& context, const Tensor& dy, const TokenIndex& index, const Destination& to) {
  if (context.on_meta()) return;
  const std::int64_t features = dy.shape()[-1], tokens = dy.shape()[0] * dy.shape()[1];
  const Chain chain = chain_of(context, index, tokens);
  const auto write = [&](auto zero, auto of_table) {
    using T = decltype(zero);
    using G = decltype(of_table);
    G* const dtable = to.tensor.data<G>();
    if (to.mode == Write::overwrite)
      launch_elements(context.stream(), to.tensor.elements(), kernels::Fill<G>{dtable, 0});
    const kernels::EmbeddingGradient<T, G> kernel{.dy = dy.data<T>(),
                                                  .dtable = dtable,
                                                  .next = chain.next.data<std::int32_t>(),
                                                  .head = chain.head.data<std::int32_t>(),
                                                  .index = index,
                                                  .tokens = tokens,
                                                  .features = features};
    launch_rows(context.stream(), {kernel.tiles() * tokens, std::min(features, kernel.tile)}, kernel);
  };
  with_floating(dy.dtype(), "embedding", [&](auto zero) {
    if (to.tensor.dtype() == dy.dtype()) return write(zero, zero);
    return write(zero, Accum<decltype(zero)>{});
  });
}

}  // namespace

Value embedding(Context& context, const Tensor& ids, const EmbeddingParameters& parameters,
                const EmbeddingOptions& options) {
  check(ids, parameters, options);
  context.require_here("embedding", "ids", ids);
  context.require_here("embedding", "positions", options.position_of);
  const Value &table = parameters.table, &positions = parameters.positions;
  const bool has_positions = static_cast<bool>(positions.tensor());
  const std::int64_t rows = table.shape()[0], position_rows = has_positions ? positions.shape()[0] : 0;
  check_indices(ids, rows, "id");
  if (has_positions) check_indices(options.position_of, position_rows, "position");
  const EmbeddingTask task{.ids = ids,
                           .position_of = options.position_of,
                           .tokens = ids.elements(),
                           .time = ids.shape()[1],
                           .features = table.shape()[1],
                           .first_position = options.first_position};
  const Tensor y = context.empty({ids.shape()[0], task.time, task.features}, table.dtype());
  with_floating(table.dtype(), "embedding", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {task.tokens, task.features},
                kernels::EmbeddingForward<T>{.table = table.tensor().data<T>(),
                                             .positions = has_positions ? positions.tensor().data<T>() : nullptr,
                                             .y = y.data<T>(),
                                             .id = task.id_index(rows),
                                             .position = task.position_index(position_rows),
                                             .features = task.features});
  });
  const Value inputs[] = {table, positions};
  return context.record({"embedding", inputs,
                         [task, rows, position_rows](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           if (g.wanted(0)) table_gradient(c, dy, task.id_index(rows), g.to_stored(0));
                           if (g.wanted(1)) table_gradient(c, dy, task.position_index(position_rows), g.to_stored(1));
                         }},
                        y);
}

}  // namespace trireme::ops
