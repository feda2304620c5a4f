#include "core/ops/half_conv2d.hpp"

#include "core/ops/half.hpp"

namespace trireme::ops {
namespace {

using kernels::ConvExtents;

/// f(extents, first, count) over parts of the images.
template <class F>
void for_images(const ConvExtents& all, const F& f) {
  const std::int64_t in = all.height * all.width * all.channels, out = all.out_height * all.out_width * all.outputs;
  for_each_part(all.batch, in + out, [&](std::int64_t first, std::int64_t count) {
    ConvExtents part = all;
    part.batch = count;
    f(part, first, count);
  });
}

/// Where sums over parts of the images are kept until they are rounded.
struct Sums {
  Destination in_f32, to;

  Sums(Context& context, Destination place) : in_f32(place), to(std::move(place)) {
    if (to.tensor.dtype() != DType::f32) in_f32 = {context.empty(to.tensor.shape(), DType::f32), Write::overwrite};
  }
  Destination of_part(std::int64_t first) const {
    return {in_f32.tensor, first == 0 ? in_f32.mode : Write::accumulate};
  }
  void finish(Context& context) const {
    if (to.tensor.dtype() != DType::f32) write(context.stream(), {in_f32.tensor}, to);
  }
};

}  // namespace

void half_conv_forward(Context& context, const ConvForwardCall& call,
                       const std::function<void(const ConvForwardCall&)>& wide) {
  const Value filter(widened(context, call.filter.tensor()));
  const Tensor bias = widened(context, call.bias);
  for_images(call.extents, [&](const ConvExtents& part, std::int64_t first, std::int64_t count) {
    const Tensor x = widened(context, call.x.slice(first, count)), to = call.y.slice(first, count);
    const Tensor y = context.empty(to.shape(), DType::f32);
    wide({.extents = part, .x = x, .filter = filter, .bias = bias, .finish = call.finish, .y = y});
    write(context.stream(), {y}, {to, Write::overwrite});
  });
}

void half_conv_data_gradient(Context& context, const ConvDataGradientCall& call,
                             const std::function<void(const ConvDataGradientCall&)>& wide) {
  const Value filter(widened(context, call.filter.tensor()));
  for_images(call.extents, [&](const ConvExtents& part, std::int64_t first, std::int64_t count) {
    const Tensor dy = widened(context, call.dy.slice(first, count)), to = call.dx.tensor.slice(first, count);
    const Tensor dx = context.empty(to.shape(), DType::f32);
    wide({part, dy, filter, {dx, Write::overwrite}});
    write(context.stream(), {dx}, {to, call.dx.mode});
  });
}

void half_conv_filter_gradient(Context& context, const ConvFilterGradientCall& call,
                               const std::function<void(const ConvFilterGradientCall&)>& wide) {
  const Sums dfilter(context, call.dfilter);
  for_images(call.extents, [&](const ConvExtents& part, std::int64_t first, std::int64_t count) {
    const Tensor x = widened(context, call.x.slice(first, count)), dy = widened(context, call.dy.slice(first, count));
    wide({part, x, dy, dfilter.of_part(first), {}});
  });
  dfilter.finish(context);
}

}  // namespace trireme::ops
