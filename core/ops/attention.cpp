#include "core/ops/attention.hpp"

#include <cmath>

#include "core/kernels/attention.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/attention_cpu.hpp"
#include "core/ops/attention_cudnn.hpp"
#include "core/ops/half.hpp"

namespace trireme::ops {
namespace {

using kernels::AttentionRows;

std::int64_t packed_width(const AttentionOptions& o) { return (o.heads + 2 * o.kv_heads) * o.head_size; }

void check(const char* op, const Tensor& qkv, const AttentionOptions& o) {
  require(o.heads > 0 && o.kv_heads > 0 && o.head_size > 0 && o.heads % o.kv_heads == 0,
          "{}: {} heads, {} key heads of {} elements: all must be positive, and the key heads divide the heads", op,
          o.heads, o.kv_heads, o.head_size);
  require(qkv.shape().dims() == 3 && qkv.shape()[2] == packed_width(o),
          "{}: the input is {}, but {} heads and 2 x {} key and value heads of {} want (B, T, {})", op, qkv.shape(),
          o.heads, o.kv_heads, o.head_size, packed_width(o));
  require(o.window >= 0 && o.scale >= 0, "{}: the window {} and the scale {} must not be negative", op, o.window,
          o.scale);
  require(o.mask == AttentionOptions::Mask::causal || (o.window == 0 && !o.document_start),
          "{}: a window or documents want the causal mask", op);
}

void check_documents(const Tensor& qkv, const Tensor& start) {
  if (!start) return;
  const std::int64_t rows = qkv.shape()[0], time = qkv.shape()[1];
  require(start.shape() == Shape{rows, time} && start.dtype() == DType::i32,
          "attention: document_start is {} of {}, wanted ({}, {}) of i32", start.shape(), name_of(start.dtype()), rows,
          time);
  if (start.device().kind != Device::Kind::cpu) return;
  const auto all = start.span<std::int32_t>();
  for (std::int64_t i = 0; i < start.elements(); ++i) {
    const std::int32_t first = all[static_cast<std::size_t>(i)];
    require(first >= 0 && first <= i % time,
            "attention: the document of token {} of row {} starts at {}; it must start at 0 to {}", i % time, i / time,
            first, i % time);
  }
}

/// The fields that both ways of calling share: keys and values lie in the packed input.
template <class T>
AttentionRows<T> rows_of(const Tensor& qkv, const AttentionOptions& o) {
  const T* const first = qkv.data<T>();
  const T* const keys = first ? first + o.heads * o.head_size : nullptr;
  const double scale = o.scale > 0 ? o.scale : 1 / std::sqrt(static_cast<double>(o.head_size));
  return {.queries = first,
          .keys = keys,
          .values = keys ? keys + o.kv_heads * o.head_size : nullptr,
          .query_stride = packed_width(o),
          .key_stride = packed_width(o),
          .key_room = qkv.shape()[1],
          .time = qkv.shape()[1],
          .heads = o.heads,
          .kv_heads = o.kv_heads,
          .head_size = o.head_size,
          .lengths = nullptr,
          .document_start = o.document_start ? o.document_start.data<std::int32_t>() : nullptr,
          .window = o.window,
          .causal = o.mask == AttentionOptions::Mask::causal ? 1u : 0u,
          .scale = static_cast<T>(scale)};
}

bool is_fast(Context& context, DType dtype, Backend backend) {
  return backend == Backend::best && dtype == DType::f32 && context.device().kind == Device::Kind::cpu;
}

/// How rows of queries or keys, each of which reads up to `keys` others, are spread. A GPU takes a warp for each: the
/// lanes share a head's elements, and the bits do not depend on the length of the row.
RowsShape rows_shape(const Context& context, std::int64_t rows, std::int64_t keys, std::int64_t head_size) {
  return {rows, context.device().is_cuda() ? head_size : keys * head_size};
}

template <class T>
void forward(Context& context, const kernels::AttentionForward<T>& call, std::int64_t batch, Backend backend) {
  if constexpr (std::is_same_v<T, float>)
    if (is_fast(context, DType::f32, backend)) return attention_on_cpu(context, call, batch);
  const AttentionRows<T>& in = call.in;
  launch_rows(context.stream(), rows_shape(context, batch * in.heads * in.time, in.key_room, in.head_size), call);
}

struct AttentionKept {
  Saved qkv, y;
  Tensor log_sum;
  AttentionOptions options;
  Backend backend;
  bool fused;  ///< By cuDNN.
};

/// The options for sequences [first, first + count) of a batch.
AttentionOptions options_of_part(const AttentionOptions& all, std::int64_t first, std::int64_t count) {
  AttentionOptions part = all;
  if (all.document_start) part.document_start = all.document_start.slice(first, count);
  return part;
}

struct Outputs {
  Tensor y, log_sum;
};

/// 16-bit sequences are converted, some at a time: sums over keys are f32.
void forward_of(Context& context, const Tensor& qkv, const Outputs& out,
                const std::pair<AttentionOptions, Backend>& how) {
  const std::int64_t batch = qkv.shape()[0];
  if (is_half(qkv.dtype()))
    return for_each_part(batch, qkv.shape().tail().elements() * 2, [&](std::int64_t first, std::int64_t count) {
      const Tensor to = out.y.slice(first, count), y = context.empty(to.shape(), DType::f32);
      forward_of(context, widened(context, qkv.slice(first, count)), {y, out.log_sum.slice(first, count)},
                 {options_of_part(how.first, first, count), how.second});
      write(context.stream(), {y}, {to, Write::overwrite});
    });
  with_wide_floating(qkv.dtype(), "attention", [&](auto zero) {
    using T = decltype(zero);
    const auto in = rows_of<T>(qkv, how.first);
    forward<T>(context, {.in = in, .y = out.y.data<T>(), .log_sum = out.log_sum.data<T>()}, batch, how.second);
  });
}

template <class T>
void gradient(Context& context, const AttentionKept& kept, const Tensor& dy, const Destination& to) {
  const Tensor delta = context.empty(kept.log_sum.shape(), kept.log_sum.dtype());
  const Tensor& qkv = kept.qkv.get();
  const std::int64_t batch = qkv.shape()[0];
  const kernels::AttentionGradientRows<T> call{.in = rows_of<T>(qkv, kept.options),
                                               .y = kept.y.get().template data<T>(),
                                               .dy = dy.data<T>(),
                                               .log_sum = kept.log_sum.data<T>(),
                                               .delta = delta.data<T>(),
                                               .dqkv = to.tensor.data<T>(),
                                               .beta = static_cast<T>(to.beta())};
  if constexpr (std::is_same_v<T, float>)
    if (is_fast(context, DType::f32, kept.backend)) return attention_gradient_on_cpu(context, call, batch);
  const AttentionRows<T>& in = call.in;
  const std::int64_t queries = batch * in.heads * in.time, keys = batch * in.kv_heads * in.time;
  launch_rows(context.stream(), {queries, in.head_size}, kernels::AttentionDelta<T>{call});
  launch_rows(context.stream(), rows_shape(context, queries, in.time, in.head_size),
              kernels::AttentionQueryGradient<T>{call});
  launch_rows(context.stream(), rows_shape(context, keys, in.time, in.head_size),
              kernels::AttentionKeyGradient<T>{call});
}

void gradient_of(Context& context, const AttentionKept& kept, const Tensor& dy, const Destination& to) {
  if (kept.fused)
    return cudnn::attention_gradient(context, {{kept.qkv.get(), kept.options}, kept.y.get(), kept.log_sum, dy, to});
  if (!is_half(dy.dtype()))
    return with_wide_floating(dy.dtype(), "attention",
                              [&](auto zero) { gradient<decltype(zero)>(context, kept, dy, to); });
  const Tensor& qkv = kept.qkv.get();
  for_each_part(qkv.shape()[0], qkv.shape().tail().elements() * 4, [&](std::int64_t first, std::int64_t count) {
    const auto part = [&](const Tensor& x) { return widened(context, x.slice(first, count)); };
    const AttentionKept wide{Saved(Value(part(qkv))),
                             Saved(Value(part(kept.y.get()))),
                             kept.log_sum.slice(first, count),
                             options_of_part(kept.options, first, count),
                             kept.backend,
                             false};
    const Tensor place = to.tensor.slice(first, count), dqkv = context.empty(place.shape(), DType::f32);
    gradient<float>(context, wide, part(dy), {dqkv, Write::overwrite});
    write(context.stream(), {dqkv}, {place, to.mode});
  });
}

/// The cache has room for the batch and says so where the host can see it.
void check_cache(const Tensor& qkv, const KeyValueCache& cache, const AttentionOptions& o) {
  const std::int64_t rows = qkv.shape()[0], time = qkv.shape()[1], width = o.kv_heads * o.head_size;
  for (const Tensor* part : {&cache.keys, &cache.values})
    require(part->shape().dims() == 3 && part->shape()[0] == rows && part->shape()[2] == width &&
                part->dtype() == qkv.dtype(),
            "attend_cached: the cache holds {} of {}, but an input {} of {} wants ({}, Tmax, {})", part->shape(),
            name_of(part->dtype()), qkv.shape(), name_of(qkv.dtype()), rows, width);
  require(cache.keys.shape() == cache.values.shape(), "attend_cached: keys are {}, but values are {}",
          cache.keys.shape(), cache.values.shape());
  require(cache.lengths.shape() == Shape{rows} && cache.lengths.dtype() == DType::i32,
          "attend_cached: the lengths are {} of {}, wanted ({}) of i32", cache.lengths.shape(),
          name_of(cache.lengths.dtype()), rows);
  require(!o.document_start && o.mask == AttentionOptions::Mask::causal,
          "attend_cached: documents and other masks than the causal one have no cache");
  if (cache.lengths.device().kind != Device::Kind::cpu) return;
  const auto lengths = cache.lengths.span<std::int32_t>();
  for (std::size_t row = 0; row < lengths.size(); ++row)
    require(
        lengths[row] >= 0 && lengths[row] + time <= cache.keys.shape()[1],
        "attend_cached: row {} has {} tokens in the cache and {} new ones, but there is room for {}: generate fewer "
        "or give the cache more room",
        row, lengths[row], time, cache.keys.shape()[1]);
}

}  // namespace

Value attention(Context& context, const Value& qkv, const AttentionOptions& options, Backend backend) {
  check("attention", qkv.tensor(), options);
  check_documents(qkv.tensor(), options.document_start);
  context.require_here("attention", "starts of documents", options.document_start);
  const std::int64_t batch = qkv.shape()[0], time = qkv.shape()[1];
  const bool fused = backend == Backend::best && cudnn::attends(context, {qkv.tensor(), options});
  const Tensor y = context.empty({batch, time, options.heads * options.head_size}, qkv.dtype());
  const Tensor log_sum = context.empty({batch, options.heads, time}, accum_dtype(qkv.dtype()));
  if (fused) {
    cudnn::attention(context, {qkv.tensor(), options}, y, log_sum);
  } else {
    forward_of(context, qkv.tensor(), {y, log_sum}, {options, backend});
  }
  const AttentionKept kept{Saved(qkv), Saved(Value(y)), log_sum, options, backend, fused};
  return context.record({"attention",
                         {&qkv, 1},
                         [kept](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           gradient_of(c, kept, dy, g.to(0));
                         }},
                        y);
}

Tensor attend_cached(Context& context, const Tensor& qkv, const KeyValueCache& cache, const AttentionOptions& options) {
  check("attend_cached", qkv, options);
  check_cache(qkv, cache, options);
  for (const Tensor* part : {&cache.keys, &cache.values, &cache.lengths})
    context.require_here("attend_cached", "keys, values and lengths", *part);
  const std::int64_t batch = qkv.shape()[0], time = qkv.shape()[1], room = cache.keys.shape()[1];
  const std::int64_t width = options.kv_heads * options.head_size;
  const Tensor y = context.empty({batch, time, options.heads * options.head_size}, qkv.dtype());
  const Tensor log_sum = context.empty({batch, options.heads, time}, accum_dtype(qkv.dtype()));
  with_floating(qkv.dtype(), "attend_cached", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {batch * time, 2 * width},
                kernels::AttentionAppend<T>{.qkv = qkv.data<T>(),
                                            .keys = cache.keys.data<T>(),
                                            .values = cache.values.data<T>(),
                                            .lengths = cache.lengths.data<std::int32_t>(),
                                            .time = time,
                                            .room = room,
                                            .stride = packed_width(options),
                                            .width = width});
  });
  const bool half = is_half(qkv.dtype());
  const auto wide = [&](const Tensor& x) { return half ? widened(context, x) : x; };
  const Tensor queries = wide(qkv), keys = wide(cache.keys), values = wide(cache.values);
  const Tensor sums = half ? context.empty(y.shape(), DType::f32) : y;
  with_wide_floating(queries.dtype(), "attend_cached", [&](auto zero) {
    using T = decltype(zero);
    auto in = rows_of<T>(queries, options);
    in.lengths = cache.lengths.data<std::int32_t>();
    in.keys = keys.data<T>();
    in.values = values.data<T>();
    in.key_stride = width;
    in.key_room = room;
    forward<T>(context, {.in = in, .y = sums.data<T>(), .log_sum = log_sum.data<T>()}, batch, Backend::best);
  });
  if (half) write(context.stream(), {sums}, {y, Write::overwrite});
  if (cache.keys.buffer()) cache.keys.buffer()->bump_version();
  if (cache.values.buffer()) cache.values.buffer()->bump_version();
  return y;
}

}  // namespace trireme::ops
