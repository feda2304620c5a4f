// Attention with softmax computed block by block (Milakov, Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022,
// arXiv:2205.14135) and its gradients, as the common text of all devices. Memory is linear in the sequence: the output
// and one number a query. A query's sums run over its keys in order, in blocks counted from key 0, so its result does
// not depend on how many other queries are computed with it. core/ops/attention_cpu.cpp is the fast form for f32 on
// CPUs.
#pragma once

#include <cmath>

#include "core/kernels/math.hpp"
#include "core/kernels/simd.hpp"

namespace trireme::kernels {

/// Keys of one block of the softmax.
inline constexpr std::int64_t attention_keys = 64;

/// Where queries, keys and values of a batch lie and who sees what. Query t of sequence b is at position first(b) + t;
/// positions number the keys of its sequence.
template <class T>
struct AttentionRows {
  const T* queries;  ///< Of the first token; heads of head_size next to each other.
  const T* keys;
  const T* values;
  std::int64_t query_stride, key_stride;    ///< Elements from token to token, for keys and values the same.
  std::int64_t key_room;                    ///< Tokens from one sequence to the next in keys and values.
  std::int64_t time;                        ///< Queries of a sequence.
  std::int64_t heads, kv_heads, head_size;  ///< kv_heads divides heads.
  const std::int32_t* lengths;              ///< (B): first(b), or null: 0.
  const std::int32_t* document_start;       ///< (B, time): no key before it is seen; or null.
  std::int64_t window;                      ///< The query itself and window - 1 keys before it; 0: all.
  std::uint32_t causal;                     ///< 1: no key after the query.
  Accum<T> scale;

  struct Range {
    std::int64_t first, last;  ///< [first, last)
  };
  struct Query {
    std::int64_t b, h, t;
  };
  /// The query of a row over (b, head, t).
  TRIREME_HD Query of_row(std::int64_t row) const { return {row / time / heads, row / time % heads, row % time}; }
  TRIREME_HD std::int64_t row_of(const Query& q) const { return (q.b * heads + q.h) * time + q.t; }
  /// The keys that query t of sequence b sees.
  TRIREME_HD Range visible(std::int64_t b, std::int64_t t) const {
    const std::int64_t before = lengths ? lengths[b] : 0, position = before + t;
    Range out{0, causal != 0 ? position + 1 : before + time};
    if (window > 0 && position - window + 1 > 0) out.first = position - window + 1;
    if (document_start && document_start[b * time + t] > out.first) out.first = document_start[b * time + t];
    return out;
  }
  TRIREME_HD const T* query(const Query& q) const {
    return queries + (q.b * time + q.t) * query_stride + q.h * head_size;
  }
  /// The first element of a query in an array like the output.
  TRIREME_HD std::int64_t output_at(const Query& q) const { return ((q.b * time + q.t) * heads + q.h) * head_size; }
  /// Key j of sequence b for query head h, relative to `keys` or `values`.
  TRIREME_HD std::int64_t key_at(std::int64_t b, std::int64_t j, std::int64_t h) const {
    return (b * key_room + j) * key_stride + h / (heads / kv_heads) * head_size;
  }
};

/// This lane's part of the dot product of two vectors.
template <class T, class Team>
TRIREME_HD Accum<T> lane_dot(const Team& team, const T* a, const T* b, std::int64_t n) {
  using A = Accum<T>;
  constexpr int wide = lane_width<T, Team>;
  Vec<A, wide> totals;
  A values[wide], rest = 0;
  for_each_wide<T>(team, n, [&](std::int64_t c, auto width) {
    const auto u = load_vec(a + c, width), v = load_vec(b + c, width);
    if constexpr (width == wide) {
      totals = map([](auto total, auto x, auto y) { return total + x * y; }, totals, u, v);
    } else {
      store_vec(static_cast<A*>(values), map([](auto x, auto y) { return x * y; }, u, v));
      for (int k = 0; k < width; ++k) rest += values[k];
    }
  });
  store_vec(static_cast<A*>(values), totals);
  for (int k = 0; k < wide; ++k) rest += values[k];
  return rest;
}

/// n elements of two vectors.
template <class T>
struct Line {
  const T* x;
  T* y;
  std::int64_t n;
};

/// y = beta * y + factor * x over the elements of this lane.
template <class T, class Team>
TRIREME_HD void lane_add(const Team& team, const Line<T>& line, Accum<T> factor, Accum<T> beta) {
  for_each_wide<T>(team, line.n, [&](std::int64_t c, auto width) {
    const auto v = map([factor](auto u) { return factor * u; }, load_vec(line.x + c, width));
    store_vec(line.y + c, plus_old(v, beta, static_cast<const T*>(line.y + c)));
  });
}

/// A row kernel over (b, head, t). Shapes: y (B, time, heads * head_size); log_sum (B, heads, time), the logarithm of
/// the sum of exponentials. A query that sees no key, or keys beyond key_room, gives what is not a number.
template <class T>
struct AttentionForward {
  static constexpr const char* name = "attention";
  AttentionRows<T> in;
  T* y;
  Accum<T>* log_sum;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const auto q = in.of_row(row);
    const auto range = in.visible(q.b, q.t);
    const std::int64_t last = range.last <= in.key_room ? range.last : range.first, n = in.head_size;
    T* out = y + in.output_at(q);
    A top = -static_cast<A>(HUGE_VAL), sum = 0;
    for (std::int64_t block = range.first / attention_keys * attention_keys; block < last; block += attention_keys) {
      const std::int64_t begin = block > range.first ? block : range.first;
      const std::int64_t end = block + attention_keys < last ? block + attention_keys : last;
      A scores[attention_keys], largest = top;
      for (std::int64_t j = begin; j < end; ++j) {
        const A dot = team.sum(lane_dot(team, in.query(q), in.keys + in.key_at(q.b, j, q.h), n));
        scores[j - block] = in.scale * dot;
        largest = scores[j - block] > largest ? scores[j - block] : largest;
      }
      A beta = begin == range.first ? A{0} : exp_of(top - largest), of_block = 0;
      for (std::int64_t j = begin; j < end; ++j) {
        scores[j - block] = exp_of(scores[j - block] - largest);
        of_block += scores[j - block];
      }
      sum = sum * beta + of_block;
      top = largest;
      for (std::int64_t j = begin; j < end; ++j, beta = 1)
        lane_add<T>(team, {in.values + in.key_at(q.b, j, q.h), out, n}, scores[j - block], beta);
    }
    const bool sees = last > range.first;
    lane_add<T>(team, {sees ? out : in.query(q), out, n}, sees ? 1 / sum : static_cast<A>(NAN), 0);
    if (team.lane() == 0) log_sum[row] = top + std::log(sum);
  }
};

/// What the gradient kernels read. Shapes as of AttentionForward; dy as y; delta (B, heads, time) is the dot product of
/// dy and y of each query, written by AttentionDelta. dqkv has the shape of the packed input, in which the keys and
/// values lie that the forward pass saw (no lengths).
template <class T>
struct AttentionGradientRows {
  AttentionRows<T> in;
  const T* y;
  const T* dy;
  const Accum<T>* log_sum;
  Accum<T>* delta;
  T* dqkv;
  Accum<T> beta;
  using Query = typename AttentionRows<T>::Query;

  /// Element 0 of packed head q.h of token q.t: queries, then keys, then values.
  TRIREME_HD std::int64_t packed_at(const Query& q) const {
    return (q.b * in.time + q.t) * in.query_stride + q.h * in.head_size;
  }
  struct Weights {
    Accum<T> p, ds;  ///< The probability, and the gradient of the scaled dot product times the scale.
  };
  template <class Team>
  TRIREME_HD Weights weights(const Team& team, const Query& q, std::int64_t j) const {
    const std::int64_t key = in.key_at(q.b, j, q.h), n = in.head_size, row = in.row_of(q);
    const Accum<T> dot = team.sum(lane_dot(team, in.query(q), in.keys + key, n));
    const Accum<T> dp = team.sum(lane_dot(team, dy + in.output_at(q), in.values + key, n));
    const Accum<T> p = exp_of(in.scale * dot - log_sum[row]);
    return {p, p * (dp - delta[row]) * in.scale};
  }
};

/// A row kernel over (b, head, t): delta. Runs before the other two.
template <class T>
struct AttentionDelta {
  static constexpr const char* name = "attention_delta";
  AttentionGradientRows<T> g;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t at = g.in.output_at(g.in.of_row(row));
    const Accum<T> dot = team.sum(lane_dot(team, g.y + at, g.dy + at, g.in.head_size));
    if (team.lane() == 0) g.delta[row] = dot;
  }
};

/// A row kernel over (b, head, t): the gradient of the query.
template <class T>
struct AttentionQueryGradient {
  static constexpr const char* name = "attention_query_gradient";
  AttentionGradientRows<T> g;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const auto q = g.in.of_row(row);
    const auto range = g.in.visible(q.b, q.t);
    const std::int64_t n = g.in.head_size;
    T* out = g.dqkv + g.packed_at(q);
    Accum<T> beta = g.beta;
    if (range.first >= range.last) lane_add<T>(team, {g.in.query(q), out, n}, 0, beta);
    for (std::int64_t j = range.first; j < range.last; ++j, beta = 1)
      lane_add<T>(team, {g.in.keys + g.in.key_at(q.b, j, q.h), out, n}, g.weights(team, q, j).ds, beta);
  }
};

/// A row kernel over (b, kv head, j): the gradients of key j and value j, sums over the queries that see it.
template <class T>
struct AttentionKeyGradient {
  static constexpr const char* name = "attention_key_gradient";
  AttentionGradientRows<T> g;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const AttentionRows<T>& in = g.in;
    const std::int64_t j = row % in.time, kv = row / in.time % in.kv_heads, b = row / in.time / in.kv_heads;
    const std::int64_t group = in.heads / in.kv_heads, n = in.head_size;
    T* dk = g.dqkv + g.packed_at({b, in.heads + kv, j});
    T* dv = dk + in.kv_heads * n;
    const std::int64_t last = in.window > 0 && j + in.window < in.time ? j + in.window : in.time;
    Accum<T> beta = g.beta;
    bool seen = false;
    for (std::int64_t h = kv * group; h < (kv + 1) * group; ++h) {
      for (std::int64_t t = in.causal != 0 ? j : 0; t < last; ++t) {
        const auto range = in.visible(b, t);
        if (j < range.first || j >= range.last) continue;
        const auto w = g.weights(team, {b, h, t}, j);
        lane_add<T>(team, {in.query({b, h, t}), dk, n}, w.ds, beta);
        lane_add<T>(team, {g.dy + in.output_at({b, h, t}), dv, n}, w.p, beta);
        beta = 1;
        seen = true;
      }
    }
    if (seen) return;
    const T* any = in.keys + in.key_at(b, j, kv * group);
    lane_add<T>(team, {any, dk, n}, 0, beta);
    lane_add<T>(team, {any, dv, n}, 0, beta);
  }
};

/// A row kernel over (b, t): puts the new keys and values of a packed batch behind those that a cache holds. Shapes:
/// keys, values (B, room, kv_heads * head_size). What would fall beyond the room is left out.
template <class T>
struct AttentionAppend {
  static constexpr const char* name = "attention_append";
  const T* qkv;
  T* keys;
  T* values;
  const std::int32_t* lengths;
  std::int64_t time, room, stride, width;  ///< Elements of a token in qkv, and of its keys.

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t b = row / time, at = lengths[b] + row % time;
    if (at < 0 || at >= room) return;  // no reduction follows
    const T* in = qkv + (row + 1) * stride - 2 * width;
    const std::int64_t to = (b * room + at) * width;
    lane_add<T>(team, {in, keys + to, width}, 1, 0);
    lane_add<T>(team, {in + width, values + to, width}, 1, 0);
  }
};

}  // namespace trireme::kernels
