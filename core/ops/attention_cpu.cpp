#include "core/ops/attention_cpu.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/checked.hpp"
#include "core/base/profile.hpp"
#include "core/kernels/attention.hpp"
#include "core/kernels/block_product.hpp"
#include "core/kernels/parallel.hpp"

namespace trireme::ops {
namespace {

using kernels::AttentionRows;
using kernels::LeftOrder;
using kernels::Register8;
using kernels::Start;
using kernels::StripProduct;

/// Queries and keys of a block.
constexpr std::int64_t block = kernels::attention_keys;
constexpr std::int64_t panel = kernels::panel_width;
constexpr std::int64_t strip = kernels::strip_rows;
constexpr float nothing = -HUGE_VALF;

/// A block of queries of one head.
struct QueryBlock {
  std::int64_t b, h, first, count;
};

/// A half-open range.
struct Span {
  std::int64_t first = 0, last = 0;
  bool empty() const { return first >= last; }
};
Span joined(const Span& a, const Span& b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  return {std::min(a.first, b.first), std::max(a.last, b.last)};
}
/// Whole panels around it.
Span panels_of(const Span& s) { return {s.first / panel * panel, round_up(s.last, panel)}; }

/// The keys of one block that each query of another sees, counted from the block's first key.
struct Seen {
  Span of_row[block];

  Seen(const AttentionRows<float>& in, const QueryBlock& q, std::int64_t first_key) {
    for (std::int64_t i = 0; i < q.count; ++i) {
      const auto range = in.visible(q.b, q.first + i);
      of_row[i] = {std::clamp(range.first - first_key, std::int64_t{0}, block),
                   std::clamp(range.last - first_key, std::int64_t{0}, block)};
    }
  }
  Span of_strip(std::int64_t first, std::int64_t rows) const {
    Span out;
    for (std::int64_t i = first; i < first + rows; ++i) out = joined(out, of_row[i]);
    return out;
  }
};

/// All keys that a block of queries sees.
Span keys_of(const AttentionRows<float>& in, const QueryBlock& q) {
  Span out;
  for (std::int64_t i = 0; i < q.count; ++i) {
    const auto range = in.visible(q.b, q.first + i);
    out = joined(out, {range.first, std::min(range.last, in.key_room)});
  }
  return out;
}

kernels::Rows query_rows(const AttentionRows<float>& in, const QueryBlock& q) {
  return {in.query({q.b, q.h, q.first}), in.query_stride, q.count, in.head_size};
}
/// Rows of the block of keys (or values) from `first` on, as query head h sees them.
kernels::Rows key_rows(const AttentionRows<float>& in, const QueryBlock& q, const float* base, std::int64_t first) {
  return {base + in.key_at(q.b, first, q.h), in.key_stride, std::min(block, in.key_room - first), in.head_size};
}

/// Keys turned into panels, values as rows.
struct KeyBlock {
  const float* turned;
  const float* values;
  std::int64_t values_step;
};

/// Packed keys and values of all blocks of a batch, used by every block of queries and every head of a group.
class PackedKeys {
 public:
  PackedKeys(Context& context, const AttentionRows<float>& in, std::int64_t batch)
      : in_(&in),
        padded_(round_up(in.head_size, panel)),
        blocks_(ceil_div(in.key_room, block)),
        memory_(context.empty({batch * in.kv_heads * blocks_, 2 * block * padded_}, DType::f32)) {
    float* const all = memory_.data<float>();
    const std::int64_t group = in.heads / in.kv_heads;
    parallel_ranges(memory_.shape()[0], 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t pair = i / blocks_, key = i % blocks_ * block;
        const QueryBlock q{pair / in.kv_heads, pair % in.kv_heads * group, 0, 0};
        float* const turned = all + i * 2 * block * padded_;
        kernels::pack_turned(key_rows(in, q, in.keys, key), turned, padded_);
        kernels::pack_rows(key_rows(in, q, in.values, key), turned + block * padded_, padded_, 1);
      }
    });
  }
  KeyBlock at(const QueryBlock& q, std::int64_t key) const {
    const std::int64_t kv = q.h / (in_->heads / in_->kv_heads);
    const float* const turned =
        memory_.data<float>() + ((q.b * in_->kv_heads + kv) * blocks_ + key / block) * 2 * block * padded_;
    return {turned, turned + block * padded_, padded_};
  }

 private:
  const AttentionRows<float>* in_;
  std::int64_t padded_, blocks_;
  Tensor memory_;
};

/// What one thread needs for a block of queries.
struct ForwardScratch {
  float* queries;  ///< (block, padded), times the scale.
  float* scores;   ///< (block, block)
  float* output;   ///< (block, padded)
  float* keys;     ///< A block of keys and one of values, where they are not packed before.
  std::int64_t padded;
  float top[block], sum[block];

  static std::int64_t floats(std::int64_t padded) { return block * (4 * padded + block); }
  ForwardScratch(float* memory, std::int64_t padded_size)
      : queries(memory),
        scores(queries + block * padded_size),
        output(scores + block * block),
        keys(output + block * padded_size),
        padded(padded_size) {}
};

/// Packs one block where it is used: generation reads every key once.
KeyBlock pack_here(const AttentionRows<float>& in, const QueryBlock& q, std::int64_t key, const ForwardScratch& s) {
  kernels::pack_turned(key_rows(in, q, in.keys, key), s.keys, s.padded);
  const kernels::Rows values = key_rows(in, q, in.values, key);
  if (s.padded == in.head_size) return {s.keys, values.at, values.step};
  kernels::pack_rows(values, s.keys + block * s.padded, s.padded, 1);
  return {s.keys, s.keys + block * s.padded, s.padded};
}

/// Scores become probabilities relative to the largest score so far, and what was summed before is made to fit.
void soften(ForwardScratch& s, std::int64_t row, const Span& seen, const Span& columns) {
  float* const scores = s.scores + row * block;
  for (std::int64_t j = columns.first; j < seen.first; ++j) scores[j] = nothing;
  for (std::int64_t j = std::max(seen.last, columns.first); j < columns.last; ++j) scores[j] = nothing;
  Register8 largest = Register8{} + nothing;
  for (std::int64_t j = columns.first; j < columns.last; j += 8) {
    const Register8 v = kernels::load8(scores + j);
    largest = v > largest ? v : largest;
  }
  const float top = std::max(s.top[row], kernels::max8(largest));
  const float base = top == nothing ? 0 : top;
  Register8 total{};
  for (std::int64_t j = columns.first; j < columns.last; j += 8) {
    const Register8 p = kernels::exp8(kernels::load8(scores + j) - base);
    total += p;
    kernels::store8(scores + j, p);
  }
  if (top == s.top[row]) {
    s.sum[row] += kernels::sum8(total);
    return;
  }
  const float before = kernels::exp_of(s.top[row] - base);
  s.sum[row] = s.sum[row] * before + kernels::sum8(total);
  s.top[row] = top;
  float* const output = s.output + row * s.padded;
  for (std::int64_t c = 0; c < s.padded; c += 8) kernels::store8(output + c, kernels::load8(output + c) * before);
}

/// Adds what one block of keys gives to a block of queries. A panel of the right operand stays in the nearest cache
/// while all strips of rows pass by it.
void add_block(ForwardScratch& s, const AttentionRows<float>& in, const Seen& seen,
               const std::pair<QueryBlock, KeyBlock>& pair) {
  const auto& [q, keys] = pair;
  Span visible[(block + strip - 1) / strip];
  const auto each_strip = [&, &q = q](const auto& f) {
    for (std::int64_t r = 0; r < q.count; r += strip) f(r, std::min(strip, q.count - r), visible[r / strip]);
  };
  each_strip([&](std::int64_t r, std::int64_t rows, Span& sees) { sees = seen.of_strip(r, rows); });
  for (std::int64_t column = 0; column < block; column += panel) {
    each_strip([&, &keys = keys](std::int64_t r, std::int64_t rows, const Span& sees) {
      if (sees.empty() || sees.last <= column || sees.first >= column + panel) return;
      kernels::multiply_strip<LeftOrder::depth>({.left = s.queries + r * s.padded,
                                                 .left_step = s.padded,
                                                 .right = keys.turned,
                                                 .right_step = panel,
                                                 .right_panel = panel * s.padded,
                                                 .out = s.scores + r * block,
                                                 .out_step = block,
                                                 .first_column = column,
                                                 .last_column = column + panel,
                                                 .first_depth = 0,
                                                 .last_depth = in.head_size},
                                                rows, Start::zero);
    });
  }
  each_strip([&](std::int64_t r, std::int64_t rows, const Span& sees) {
    for (std::int64_t i = r; i < r + rows && !sees.empty(); ++i) soften(s, i, seen.of_row[i], panels_of(sees));
  });
  for (std::int64_t column = 0; column < s.padded; column += panel) {
    each_strip([&, &keys = keys](std::int64_t r, std::int64_t rows, const Span& sees) {
      kernels::multiply_strip<LeftOrder::depth>({.left = s.scores + r * block,
                                                 .left_step = block,
                                                 .right = keys.values,
                                                 .right_step = keys.values_step,
                                                 .right_panel = panel,
                                                 .out = s.output + r * s.padded,
                                                 .out_step = s.padded,
                                                 .first_column = column,
                                                 .last_column = column + panel,
                                                 .first_depth = sees.first,
                                                 .last_depth = sees.last},
                                                rows, Start::result);
    });
  }
}

void write_output(const ForwardScratch& s, const kernels::AttentionForward<float>& call, const QueryBlock& q) {
  for (std::int64_t i = 0; i < q.count; ++i) {
    const AttentionRows<float>::Query query{q.b, q.h, q.first + i};
    kernels::pack_rows({s.output + i * s.padded, s.padded, 1, call.in.head_size}, call.y + call.in.output_at(query),
                       call.in.head_size, 1 / s.sum[i]);
    call.log_sum[call.in.row_of(query)] = s.top[i] + std::log(s.sum[i]);
  }
}

/// `key_block(q, key, scratch)` gives the block of keys from `key` on.
template <class F>
void forward_block(ForwardScratch& s, const kernels::AttentionForward<float>& call, const QueryBlock& q,
                   const F& key_block) {
  kernels::pack_rows(query_rows(call.in, q), s.queries, s.padded, call.in.scale);
  std::fill_n(s.output, q.count * s.padded, 0.0f);
  std::fill_n(s.top, q.count, nothing);
  std::fill_n(s.sum, q.count, 0.0f);
  const Span keys = keys_of(call.in, q);
  for (std::int64_t key = keys.first / block * block; key < keys.last; key += block)
    add_block(s, call.in, Seen(call.in, q, key), {q, key_block(q, key, s)});
  write_output(s, call, q);
}

/// What one thread needs for the gradient of a head; rows are those of the whole sequence.
struct GradientScratch {
  float *queries, *dy, *dqueries;             ///< (time, padded)
  float *turned_keys, *turned_values, *keys;  ///< One block.
  float *dkeys, *dvalues;                     ///< (block, padded)
  float *p, *ds;                              ///< (block, block)
  std::int64_t padded;

  static std::int64_t floats(std::int64_t time, std::int64_t padded) {
    return 3 * time * padded + 5 * block * padded + 2 * block * block;
  }
  GradientScratch(float* memory, std::int64_t time, std::int64_t padded_size) : padded(padded_size) {
    for (float** rows : {&queries, &dy, &dqueries}) *rows = std::exchange(memory, memory + time * padded);
    for (float** rows : {&turned_keys, &turned_values, &keys, &dkeys, &dvalues})
      *rows = std::exchange(memory, memory + block * padded);
    for (float** square : {&p, &ds}) *square = std::exchange(memory, memory + block * block);
  }
};

/// Scores of a row become probabilities, products with dy become gradients of scores; zeros where nothing is seen.
struct RowNumbers {
  float log_sum, delta;
};
void weigh(const GradientScratch& s, std::int64_t row, const Span& seen, const RowNumbers& numbers) {
  float *const p = s.p + row * block, *const ds = s.ds + row * block;
  const Span columns = seen.empty() ? Span{} : Span{seen.first / 8 * 8, round_up(seen.last, 8)};
  for (std::int64_t j = columns.first; j < columns.last; j += 8) {
    const Register8 weight = kernels::exp8(kernels::load8(p + j) - numbers.log_sum);
    kernels::store8(p + j, weight);
    kernels::store8(ds + j, weight * (kernels::load8(ds + j) - numbers.delta));
  }
  for (float* out : {p, ds}) {
    std::fill(out, out + (seen.empty() ? block : seen.first), 0.0f);
    if (!seen.empty()) std::fill(out + seen.last, out + block, 0.0f);
  }
}

/// P, dS and the queries' gradient for one pair of blocks.
void query_side(const GradientScratch& s, const kernels::AttentionGradientRows<float>& call, const QueryBlock& q,
                const Seen& seen) {
  const std::int64_t n = call.in.head_size;
  for (std::int64_t r = 0; r < q.count; r += strip) {
    const std::int64_t rows = std::min(strip, q.count - r), at = (q.first + r) * s.padded;
    const Span visible = seen.of_strip(r, rows), columns = visible.empty() ? Span{} : panels_of(visible);
    StripProduct product{.left = s.queries + at,
                         .left_step = s.padded,
                         .right = s.turned_keys,
                         .right_step = panel,
                         .right_panel = panel * s.padded,
                         .out = s.p + r * block,
                         .out_step = block,
                         .first_column = columns.first,
                         .last_column = columns.last,
                         .first_depth = 0,
                         .last_depth = n};
    kernels::multiply_strip<LeftOrder::depth>(product, rows, Start::zero);
    product.left = s.dy + at;
    product.right = s.turned_values;
    product.out = s.ds + r * block;
    kernels::multiply_strip<LeftOrder::depth>(product, rows, Start::zero);
    for (std::int64_t i = r; i < r + rows; ++i) {
      const std::int64_t row = call.in.row_of({q.b, q.h, q.first + i});
      weigh(s, i, seen.of_row[i], {call.log_sum[row], call.delta[row]});
    }
    kernels::multiply_strip<LeftOrder::depth>({.left = s.ds + r * block,
                                               .left_step = block,
                                               .right = s.keys,
                                               .right_step = s.padded,
                                               .right_panel = panel,
                                               .out = s.dqueries + at,
                                               .out_step = s.padded,
                                               .first_column = 0,
                                               .last_column = s.padded,
                                               .first_depth = visible.first,
                                               .last_depth = visible.last},
                                              rows, Start::result);
  }
}

/// Adds P^T dy and dS^T q to the gradients of a block of values and keys.
void key_side(const GradientScratch& s, const AttentionRows<float>& in, const QueryBlock& q, const Span& keys) {
  for (std::int64_t j = 0; j < keys.last - keys.first; j += strip) {
    const std::int64_t rows = std::min(strip, keys.last - keys.first - j), key = keys.first + j;
    Span queries{0, q.count};  // those that may see one of these keys
    if (in.causal != 0) queries.first = std::clamp(key - q.first, std::int64_t{0}, q.count);
    if (in.window > 0) queries.last = std::clamp(key + rows - 1 + in.window - q.first, std::int64_t{0}, q.count);
    StripProduct product{.left = s.p + j,
                         .left_step = block,
                         .right = s.dy + q.first * s.padded,
                         .right_step = s.padded,
                         .right_panel = panel,
                         .out = s.dvalues + j * s.padded,
                         .out_step = s.padded,
                         .first_column = 0,
                         .last_column = s.padded,
                         .first_depth = queries.first,
                         .last_depth = queries.last};
    kernels::multiply_strip<LeftOrder::rows>(product, rows, Start::result);
    product.left = s.ds + j;
    product.right = s.queries + q.first * s.padded;
    product.out = s.dkeys + j * s.padded;
    kernels::multiply_strip<LeftOrder::rows>(product, rows, Start::result);
  }
}

/// Where gradient rows go, from scratch rows of `padded` elements.
struct Target {
  float* at;
  std::int64_t step, width;
  float beta, factor;
};
void write_rows(const float* rows, std::int64_t padded, std::int64_t count, const Target& to) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float* const from = rows + i * padded;
    float* const out = to.at + i * to.step;
    if (to.beta == 0) {
      for (std::int64_t c = 0; c < to.width; ++c) out[c] = to.factor * from[c];
    } else {
      for (std::int64_t c = 0; c < to.width; ++c) out[c] += to.factor * from[c];
    }
  }
}

/// Gradients of keys and values of each query head, where several heads share them: (B, heads, time, 2, head_size).
struct Partial {
  Tensor memory;
  float* at(const AttentionRows<float>& in, std::int64_t b, std::int64_t h, std::int64_t t) const {
    return memory.data<float>() + ((b * in.heads + h) * in.time + t) * 2 * in.head_size;
  }
};

void write_keys(const GradientScratch& s, const kernels::AttentionGradientRows<float>& call, const Partial& partial,
                const std::pair<QueryBlock, Span>& head_keys) {
  const auto& [q, keys] = head_keys;
  const AttentionRows<float>& in = call.in;
  const std::int64_t n = in.head_size, count = keys.last - keys.first;
  Target to{call.dqkv + call.packed_at({q.b, in.heads + q.h, keys.first}), in.query_stride, n, call.beta, 1};
  std::int64_t to_values = in.kv_heads * n;
  if (partial.memory) {
    to = {partial.at(in, q.b, q.h, keys.first), 2 * n, n, 0, 1};
    to_values = n;
  }
  write_rows(s.dkeys, s.padded, count, to);
  to.at += to_values;
  write_rows(s.dvalues, s.padded, count, to);
}

/// The gradient of one head over a whole sequence.
void head_gradient(const GradientScratch& s, const kernels::AttentionGradientRows<float>& call, const Partial& partial,
                   const QueryBlock& all) {
  const AttentionRows<float>& in = call.in;
  const std::int64_t n = in.head_size, padded = s.padded;
  const kernels::Rows dy{call.dy + in.output_at({all.b, all.h, 0}), in.heads * n, in.time, n};
  kernels::pack_rows(query_rows(in, all), s.queries, padded, in.scale);
  kernels::pack_rows(dy, s.dy, padded, 1);
  std::fill_n(s.dqueries, in.time * padded, 0.0f);
  for (std::int64_t t = 0; t < in.time; ++t) {
    const std::int64_t at = in.output_at({all.b, all.h, t});
    call.delta[in.row_of({all.b, all.h, t})] = kernels::lane_dot(SerialTeam{}, call.y + at, call.dy + at, n);
  }
  for (std::int64_t key = 0; key < in.time; key += block) {
    const Span keys{key, std::min(key + block, in.time)};
    kernels::pack_turned(key_rows(in, all, in.keys, key), s.turned_keys, padded);
    kernels::pack_turned(key_rows(in, all, in.values, key), s.turned_values, padded);
    kernels::pack_rows(key_rows(in, all, in.keys, key), s.keys, padded, 1);
    std::fill_n(s.dkeys, 2 * block * padded, 0.0f);  // and dvalues behind it
    for (std::int64_t t = in.causal != 0 ? key : 0; t < in.time; t += block) {
      const QueryBlock q{all.b, all.h, t, std::min(block, in.time - t)};
      const Span visible = keys_of(in, q);
      if (visible.last <= keys.first || visible.first >= keys.last) continue;
      query_side(s, call, q, Seen(in, q, key));
      key_side(s, in, q, keys);
    }
    write_keys(s, call, partial, {all, keys});
  }
  write_rows(s.dqueries, padded, in.time,
             {call.dqkv + call.packed_at({all.b, all.h, 0}), in.query_stride, n, call.beta, in.scale});
}

/// Adds up the heads of each group in their order.
void join_heads(const kernels::AttentionGradientRows<float>& call, const Partial& partial, std::int64_t batch) {
  const AttentionRows<float>& in = call.in;
  const std::int64_t n = in.head_size, group = in.heads / in.kv_heads;
  parallel_ranges(batch * in.time, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t b = row / in.time, t = row % in.time;
      for (std::int64_t h = 0; h < in.heads; ++h) {
        const float* const from = partial.at(in, b, h, t);
        const float beta = h % group == 0 ? call.beta : 1;
        float* const out = call.dqkv + call.packed_at({b, in.heads + h / group, t});
        write_rows(from, 0, 1, {out, 0, n, beta, 1});
        write_rows(from + n, 0, 1, {out + in.kv_heads * n, 0, n, beta, 1});
      }
    }
  });
}

}  // namespace

void attention_on_cpu(Context& context, const kernels::AttentionForward<float>& call, std::int64_t batch) {
  const AttentionRows<float>& in = call.in;
  if (batch * in.time == 0) return;
  const ProfileSpan span("attention", ProfileSpan::Kind::kernel);
  const std::int64_t padded = round_up(in.head_size, panel), blocks = ceil_div(in.time, block);
  const Tensor scratch = context.empty({parallel_threads(), ForwardScratch::floats(padded)}, DType::f32);
  const auto run = [&](const auto& key_block) {
    parallel_tasks(batch * in.heads * blocks, [&](std::int64_t task, int thread) {
      ForwardScratch mine(scratch.slice(thread, 1).data<float>(), padded);
      const std::int64_t pair = task % (batch * in.heads);
      const std::int64_t first = (blocks - 1 - task / (batch * in.heads)) * block;  // the longest work first
      forward_block(mine, call, {pair / in.heads, pair % in.heads, first, std::min(block, in.time - first)}, key_block);
    });
  };
  if (in.lengths != nullptr) {
    run([&](const QueryBlock& q, std::int64_t key, const ForwardScratch& s) { return pack_here(in, q, key, s); });
  } else {
    const PackedKeys keys(context, in, batch);
    run([&](const QueryBlock& q, std::int64_t key, const ForwardScratch&) { return keys.at(q, key); });
  }
}

void attention_gradient_on_cpu(Context& context, const kernels::AttentionGradientRows<float>& call,
                               std::int64_t batch) {
  const AttentionRows<float>& in = call.in;
  if (batch * in.time == 0) return;
  const ProfileSpan span("attention_gradient", ProfileSpan::Kind::kernel);
  const std::int64_t padded = round_up(in.head_size, panel);
  const Tensor scratch = context.empty({parallel_threads(), GradientScratch::floats(in.time, padded)}, DType::f32);
  Partial partial;
  if (in.heads != in.kv_heads) partial.memory = context.empty({batch, in.heads, in.time, 2, in.head_size}, DType::f32);
  parallel_tasks(batch * in.heads, [&](std::int64_t task, int thread) {
    const GradientScratch mine(scratch.slice(thread, 1).data<float>(), in.time, padded);
    head_gradient(mine, call, partial, {task / in.heads, task % in.heads, 0, in.time});
  });
  if (partial.memory) join_heads(call, partial, batch);
}

}  // namespace trireme::ops
