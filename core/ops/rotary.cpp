#include "core/ops/rotary.hpp"

#include <algorithm>
#include <cmath>
#include <list>
#include <mutex>

#include "core/kernels/launch.hpp"
#include "core/kernels/rotary.hpp"

namespace trireme::ops {
namespace {

/// cos and sin of position * base^(-2 i / head_size), (positions, head_size / 2) each, computed in f64.
struct Tables {
  Device device;
  DType dtype;
  double base;
  std::int64_t positions, half;
  Tensor cosine, sine;

  bool serves(const Tables& wanted) const {
    return device == wanted.device && dtype == wanted.dtype && base == wanted.base && half == wanted.half &&
           positions >= wanted.positions;
  }
};

void fill(Tables& tables) {
  const Shape shape{tables.positions, tables.half};
  with_wide_floating(tables.dtype, "rotary", [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> cosine, sine;
    for (std::int64_t position = 0; position < tables.positions; ++position) {
      for (std::int64_t i = 0; i < tables.half; ++i) {
        const double rate = std::pow(tables.base, -static_cast<double>(i) / static_cast<double>(tables.half));
        const double angle = static_cast<double>(position) * rate;
        cosine.push_back(static_cast<T>(std::cos(angle)));
        sine.push_back(static_cast<T>(std::sin(angle)));
      }
    }
    tables.cosine = Tensor::from(cosine, shape, tables.device);
    tables.sine = Tensor::from(sine, shape, tables.device);
  });
}

/// Kept for the life of the process: a model asks for the same few tables in every layer of every step.
Tables tables_for(Tables wanted) {
  static std::mutex mutex;
  static std::list<Tables> cache;
  constexpr std::size_t most = 16;
  const std::lock_guard guard(mutex);
  const auto found =
      std::find_if(cache.begin(), cache.end(), [&](const Tables& tables) { return tables.serves(wanted); });
  if (found != cache.end()) {
    cache.splice(cache.begin(), cache, found);
    return cache.front();
  }
  // a sequence that grows by a token at a time (generation) must not mean new tables for each
  std::int64_t room = 256;
  while (room < wanted.positions) room *= 2;
  wanted.positions = room;
  fill(wanted);
  cache.push_front(wanted);
  if (cache.size() > most) cache.pop_back();
  return wanted;
}

void check(const Value& qkv, const RotaryOptions& o) {
  require(o.heads > 0 && o.kv_heads > 0 && o.head_size > 0 && o.head_size % 2 == 0,
          "rotary: {} heads, {} key heads of {} elements: all must be positive and the elements even", o.heads,
          o.kv_heads, o.head_size);
  const std::int64_t wanted = (o.heads + 2 * o.kv_heads) * o.head_size;
  const Shape& shape = qkv.shape();
  require(shape.dims() == 3 && shape[2] == wanted,
          "rotary: the input is {}, but {} heads and 2 x {} key and value heads of {} want (B, T, {})", shape, o.heads,
          o.kv_heads, o.head_size, wanted);
  require(!o.position_of || (o.position_of.shape() == Shape{shape[0], shape[1]} && o.position_of.dtype() == DType::i32),
          "rotary: position_of is not ({}, {}) of i32", shape[0], shape[1]);
  require(o.first_position >= 0 && o.base > 0, "rotary: the first position {} and the base {} must not be negative",
          o.first_position, o.base);
}

void check_positions(const Tensor& position_of, std::int64_t positions) {
  if (!position_of || position_of.device().kind != Device::Kind::cpu) return;
  const auto all = position_of.span<std::int32_t>();
  const auto wrong = std::find_if(all.begin(), all.end(), [&](std::int32_t at) { return at < 0 || at >= positions; });
  if (wrong == all.end()) return;
  const std::int64_t at = wrong - all.begin(), time = position_of.shape()[1];
  fail(
      ExitCode::failure,
      "rotary: token {} of row {} has the position {}, but they must be 0 to {}; say in `positions` how many there are",
      at % time, at / time, *wrong, positions - 1);
}

struct Turn {
  RotaryOptions options;
  Tables tables;
  std::int64_t time;
};

/// Which way the heads turn: forward, or back as gradients do.
enum class Way : std::uint8_t { forward, back };

void apply(Context& context, const Turn& turn, const std::pair<Tensor, Tensor>& from_to, Way way) {
  const auto& [x, y] = from_to;
  if (context.on_meta()) return;
  const RotaryOptions& o = turn.options;
  with_floating(x.dtype(), "rotary", [&, &x = x, &y = y](auto zero) {
    using T = decltype(zero);
    const std::int32_t* const position_of = o.position_of ? o.position_of.data<std::int32_t>() : nullptr;
    launch_rows(context.stream(), {x.shape()[0] * x.shape()[1], x.shape()[2]},
                kernels::Rotary<T>{.x = x.data<T>(),
                                   .y = y.data<T>(),
                                   .cosine = turn.tables.cosine.data<Accum<T>>(),
                                   .sine = turn.tables.sine.data<Accum<T>>(),
                                   .position = {position_of, turn.time, o.first_position, turn.tables.positions},
                                   .heads = o.heads + o.kv_heads,
                                   .half = o.head_size / 2,
                                   .features = x.shape()[2],
                                   .direction = static_cast<Accum<T>>(way == Way::forward ? 1 : -1)});
  });
}

}  // namespace

Value rotary(Context& context, Value qkv, const RotaryOptions& options) {
  check(qkv, options);
  context.require_here("rotary", "positions", options.position_of);
  const std::int64_t time = qkv.shape()[1];
  const std::int64_t positions = options.positions > 0 ? options.positions : options.first_position + time;
  check_positions(options.position_of, positions);
  require(options.position_of || options.first_position + time <= positions,
          "rotary: tokens at positions {} to {}, but there are {}", options.first_position,
          options.first_position + time - 1, positions);
  Turn turn{.options = options,
            .tables = {.device = context.device(),
                       .dtype = accum_dtype(qkv.dtype()),
                       .base = options.base,
                       .positions = positions,
                       .half = options.head_size / 2,
                       .cosine = {},
                       .sine = {}},
            .time = time};
  if (!context.on_meta()) turn.tables = tables_for(turn.tables);
  const Tensor& x = qkv.tensor();
  const bool only_here = qkv.parameter() == nullptr && x.buffer().use_count() == 1;
  const Tensor y = only_here ? x : context.empty(x.shape(), x.dtype());
  apply(context, turn, {x, y}, Way::forward);
  return context.record({"rotary",
                         {&qkv, 1},
                         [turn](Context& c, Gradients& g) {
                           const Tensor back = g.reusable();
                           apply(c, turn, {g.output(), back}, Way::back);
                           g.hand_over(0, back);
                         }},
                        y);
}

}  // namespace trireme::ops
