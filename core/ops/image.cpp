#include "core/ops/image.hpp"

#include "core/base/checked.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/axis_taps.hpp"
#include "core/ops/shape_ops.hpp"

namespace trireme::ops {
namespace {

/// A map along `dim` of x and what it is recorded as.
struct Along {
  const char* name;
  int dim;
  AxisTask task;
  double outside = 0;
};

void check_image(const char* op, const Shape& x) {
  require(x.dims() == 4 && x.elements_from(1) > 0, "{}: the input is {}, wanted (batch, height, width, channels)", op,
          x);
}

/// The map from (outer, from, inner) to (outer, to, inner), or back again by the transposed table.
void map_into(Context& context, const Tensor& x, const Destination& to, const std::pair<const Along&, bool>& how) {
  if (context.on_meta() || to.tensor.elements() == 0) return;
  const auto& [along, back] = how;
  const auto taps = taps_for(along.task, context.device());
  const std::int64_t rows_in = back ? along.task.to : along.task.from,
                     rows_out = back ? along.task.from : along.task.to;
  const std::int64_t inner = to.tensor.shape().elements_from(along.dim + 1);
  const std::int64_t rows = to.tensor.elements() / inner;
  with_floating(x.dtype(), along.name, [&, &along = along, back = back](auto zero) {
    using T = decltype(zero);
    launch_rows(
        context.stream(), {rows, inner},
        kernels::AxisMap<T>{x.data<T>(), to.tensor.data<T>(), (back ? taps->backward : taps->forward).view(), rows_in,
                            rows_out, inner, static_cast<Accum<T>>(back ? 0.0 : along.outside), to.beta()});
  });
}

Value map_along(Context& context, const Value& x, const Along& along) {
  if (along.task.kind == AxisTask::Kind::pad && along.task.from == along.task.to) return x;
  const Tensor y = context.empty(x.shape().with(along.dim, along.task.to), x.dtype());
  map_into(context, x.tensor(), {y, Write::overwrite}, {along, false});
  const auto gradient = [along](Context& c, Gradients& g) {
    const Tensor dy = g.output();
    map_into(c, dy, g.to(0), {along, true});
  };
  return context.record({along.name, {&x, 1}, gradient}, y);
}

void check_pad(std::int64_t before, std::int64_t after, std::pair<std::int64_t, PadMode> extent_mode) {
  const auto [extent, mode] = extent_mode;
  require(before >= 0 && after >= 0, "pad: {} before and {} behind; they must not be negative", before, after);
  const std::int64_t most = std::max(before, after);
  require(mode != PadMode::reflect || most < extent,
          "pad: {} mirrored pixels of an extent of {}; reflect has at most {}: pad less or replicate", most, extent,
          extent - 1);
  require(mode != PadMode::circular || most <= extent, "pad: {} pixels from the other side of an extent of {}", most,
          extent);
}

}  // namespace

Value pad(Context& context, const Value& x, const PadOptions& o) {
  check_image("pad", x.shape());
  const std::int64_t height = x.shape()[1], width = x.shape()[2];
  check_pad(o.top, o.bottom, {height, o.mode});
  check_pad(o.left, o.right, {width, o.mode});
  const auto along = [&](int dim, std::int64_t extent, std::pair<std::int64_t, std::int64_t> before_after) {
    const auto [before, after] = before_after;
    const AxisTask task{AxisTask::Kind::pad, static_cast<int>(o.mode), extent,
                        checked_add(checked_add(before, extent), after), before};
    return Along{"pad", dim, task, o.value};
  };
  const Value rows = map_along(context, x, along(1, height, {o.top, o.bottom}));
  return map_along(context, rows, along(2, width, {o.left, o.right}));
}

Value interpolate(Context& context, const Value& x, const InterpolateOptions& o) {
  check_image("interpolate", x.shape());
  require(o.height > 0 && o.width > 0 && o.height <= INT32_MAX / 4 && o.width <= INT32_MAX / 4,
          "interpolate: the result would be {} x {} pixels", o.height, o.width);
  require(o.mode != Interpolation::nearest || o.alignment == Alignment::pixels,
          "interpolate: the nearest pixel knows no alignment of corners; use bilinear or bicubic for it");
  const int mode = static_cast<int>(o.mode) + (o.alignment == Alignment::corners ? 8 : 0);
  const auto along = [&](int dim, std::int64_t to) {
    return Along{"interpolate", dim, AxisTask{AxisTask::Kind::resize, mode, x.shape()[dim], to, 0}};
  };
  // The dim that shrinks more comes first, so that the image between has fewer pixels.
  const bool height_first = o.height * x.shape()[2] <= o.width * x.shape()[1];
  const Along first = height_first ? along(1, o.height) : along(2, o.width);
  const Along second = height_first ? along(2, o.width) : along(1, o.height);
  return map_along(context, map_along(context, x, first), second);
}

Value pixel_shuffle(Context& context, const Value& x, std::int64_t factor) {
  check_image("pixel_shuffle", x.shape());
  const Shape& s = x.shape();
  require(factor > 0 && s[3] % (factor * factor) == 0,
          "pixel_shuffle: {} channels cannot be spread over blocks of {} x {}; wanted a multiple of {}", s[3], factor,
          factor, factor * factor);
  const std::int64_t channels = s[3] / (factor * factor);
  const int order[] = {0, 1, 4, 2, 5, 3};
  const Value blocks = reshape(context, x, {s[0], s[1], s[2], channels, factor, factor});
  return reshape(context, permute(context, blocks, order), {s[0], s[1] * factor, s[2] * factor, channels});
}

Value pixel_unshuffle(Context& context, const Value& x, std::int64_t factor) {
  check_image("pixel_unshuffle", x.shape());
  const Shape& s = x.shape();
  require(factor > 0 && s[1] % factor == 0 && s[2] % factor == 0,
          "pixel_unshuffle: an image of {} x {} does not consist of blocks of {} x {}", s[1], s[2], factor, factor);
  const int order[] = {0, 1, 3, 5, 2, 4};
  const Value blocks = reshape(context, x, {s[0], s[1] / factor, factor, s[2] / factor, factor, s[3]});
  return reshape(context, permute(context, blocks, order),
                 {s[0], s[1] / factor, s[2] / factor, s[3] * factor * factor});
}

}  // namespace trireme::ops
