#include "core/ops/cross_attention.hpp"

#include <algorithm>
#include <cmath>

#include "core/kernels/launch.hpp"
#include "core/kernels/masked_softmax.hpp"
#include "core/ops/dropout.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/matmul.hpp"
#include "core/ops/plan_cache.hpp"
#include "core/ops/shape_ops.hpp"
#include "core/tape/recompute.hpp"

namespace trireme::ops {
namespace {

struct Extents {
  std::int64_t batch, queries, keys, width, heads;
};

Extents extents_of(const AttentionInputs& in, const CrossAttentionOptions& o) {
  const Shape &q = in.queries.shape(), &k = in.keys.shape();
  require(
      o.heads > 0 && q.dims() == 3 && k.dims() == 3 && q[0] == k[0] && q[2] == k[2] && q[2] % o.heads == 0 &&
          in.values.shape() == k && in.keys.dtype() == in.queries.dtype() && in.values.dtype() == in.queries.dtype(),
      "cross_attention: queries {}, keys {} and values {} with {} heads; wanted (B, Tq, C), (B, Tk, C) and (B, Tk, C) "
      "of one type, C divided by the heads",
      q, k, in.values.shape(), o.heads);
  require(!in.bias.tensor() || in.bias.shape() == Shape{o.heads, q[1], k[1]},
          "cross_attention: the bias is {}, wanted ({}, {}, {})", in.bias.shape(), o.heads, q[1], k[1]);
  require(o.scale >= 0, "cross_attention: the scale {} must not be negative", o.scale);
  return {q[0], q[1], k[1], q[2], o.heads};
}

void check_lengths(Context& context, const Tensor& lengths, const Extents& e) {
  if (!lengths) return;
  require(lengths.shape() == Shape{e.batch} && lengths.dtype() == DType::i32,
          "cross_attention: the lengths of keys are {} of {}, wanted ({}) of i32", lengths.shape(),
          name_of(lengths.dtype()), e.batch);
  context.require_here("cross_attention", "lengths of keys", lengths);
  if (lengths.device().kind != Device::Kind::cpu) return;
  for (const std::int32_t n : lengths.span<std::int32_t>())
    require(n >= 0 && n <= e.keys, "cross_attention: a sample has {} keys of {}; check its lengths", n, e.keys);
}

/// (B, T, heads * D) -> (B, heads, T, D).
Value by_heads(Context& context, const Value& x, std::int64_t heads) {
  const Shape& s = x.shape();
  const int order[] = {0, 2, 1, 3};
  return permute(context, reshape(context, x, {s[0], s[1], heads, s[2] / heads}), order);
}

/// `shift` is the last key that query 0 sees under a causal mask.
Value masked_softmax(Context& context, const Value& scores, const CrossAttentionOptions& o, std::int64_t shift) {
  const Shape& s = scores.shape();
  const RowsShape rows{s[0] * s[1] * s[2], s[3]};
  const Tensor y = context.empty(s, scores.dtype());
  with_floating(scores.dtype(), "masked_softmax", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), rows,
                kernels::MaskedSoftmax<T>{scores.tensor().data<T>(), y.data<T>(),
                                          o.key_lengths ? o.key_lengths.data<std::int32_t>() : nullptr, s[1] * s[2],
                                          s[2], s[3], o.mask == CrossAttentionOptions::Mask::causal ? 1u : 0u, shift});
  });
  const Saved kept{Value(y)};
  const auto gradient = [kept, rows](Context& c, Gradients& g) {
    const Tensor dy = g.output();
    const Destination to = g.to(0);
    with_floating(dy.dtype(), "masked_softmax", [&](auto zero) {
      using T = decltype(zero);
      launch_rows(c.stream(), rows,
                  kernels::SoftmaxGradient<T>{kept.get().template data<T>(), dy.data<T>(), to.tensor.data<T>(),
                                              rows.row_elements, to.beta()});
    });
  };
  return context.record({"masked_softmax", {&scores, 1}, gradient}, y);
}

/// Holds all scores.
Value attend(Context& context, const AttentionInputs& in, const CrossAttentionOptions& o, std::int64_t shift) {
  const std::int64_t width = in.queries.shape()[2];
  const double size = static_cast<double>(width / o.heads), by = o.scale > 0 ? o.scale : 1 / std::sqrt(size);
  const Value queries = by_heads(context, scale(context, in.queries, by), o.heads);
  const Value keys = by_heads(context, in.keys, o.heads), values = by_heads(context, in.values, o.heads);
  Value scores = matmul(context, queries, keys, {.transpose_b = Transpose::yes});
  if (in.bias.tensor()) scores = add(context, scores, in.bias);
  const Value weights = dropout(context, masked_softmax(context, scores, o, shift), {.probability = o.dropout});
  const int order[] = {0, 2, 1, 3};
  const Value y = permute(context, matmul(context, weights, values), order);
  return reshape(context, y, in.queries.shape());
}

/// The queries [first, first + count) alone; in backward they are computed again.
Value attend_some(Context& context, const AttentionInputs& in, const CrossAttentionOptions& o, const Range& some) {
  std::vector<Value> inputs{slice(context, in.queries, some), in.keys, in.values};
  if (in.bias.tensor()) inputs.push_back(slice(context, in.bias, some));
  const std::int64_t shift = some.first + in.keys.shape()[1] - in.queries.shape()[1];
  const auto again = [o, shift](Context& c, std::span<const Value> x) -> std::vector<Value> {
    return {attend(c, {x[0], x[1], x[2], x.size() > 3 ? x[3] : Value()}, o, shift)};
  };
  return recompute(context, {"cross_attention again", inputs, {}}, again)[0];
}

/// Rows of the table for each query and key, on the context's device; kept for the next call.
Tensor distances(Context& context, const BiasExtents& e, std::int64_t most) {
  const Shape shape{1, e.queries * e.keys};
  if (context.on_meta()) return Tensor::empty(shape, DType::i32, Device::meta());
  static auto& kept = *new PlanCache<Tensor>;  // never destroyed: a GPU's runtime may be gone before
  const Device device = context.device();
  const PlanKey key{e.queries, e.keys, most, static_cast<std::int64_t>(device.kind), device.index};
  return *kept.find_or_make(key, [&] {
    std::vector<std::int32_t> rows;
    for (std::int64_t q = 0; q < e.queries; ++q)
      for (std::int64_t k = 0; k < e.keys; ++k)
        rows.push_back(static_cast<std::int32_t>(std::clamp(k - (q + e.keys - e.queries), -most, most) + most));
    return std::make_shared<Tensor>(Tensor::from(rows, shape, device));
  });
}

}  // namespace

Value cross_attention(Context& context, const AttentionInputs& in, const CrossAttentionOptions& o) {
  const Extents e = extents_of(in, o);
  check_lengths(context, o.key_lengths, e);
  const std::int64_t each = std::max<std::int64_t>(e.heads * e.keys, 1);
  const std::int64_t count = std::max<std::int64_t>(o.scores_at_once / each, 1);
  if (count >= e.queries) return attend(context, in, o, e.keys - e.queries);
  std::vector<Value> parts;
  for (std::int64_t first = 0; first < e.queries; first += count)
    parts.push_back(
        attend_some(context, in, o, {.dim = 1, .first = first, .count = std::min(count, e.queries - first)}));
  return concat(context, parts, 1);
}

Value relative_bias(Context& context, const Value& table, const BiasExtents& extents) {
  const Shape& shape = table.shape();
  require(shape.dims() == 2 && shape[0] % 2 == 1,
          "relative_bias: the table is {}, wanted (rows, heads) with an odd number of rows", shape);
  const Tensor index = distances(context, extents, shape[0] / 2);
  const Value found = embedding(context, index, {.table = table});
  return reshape(context, transpose(context, reshape(context, found, {index.elements(), shape[1]})),
                 {shape[1], extents.queries, extents.keys});
}

}  // namespace trireme::ops
