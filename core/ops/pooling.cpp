#include "core/ops/pooling.hpp"

#include "core/kernels/launch.hpp"
#include "core/kernels/pooling.hpp"

namespace trireme::ops {
namespace {

using kernels::PoolExtents;

void check(const char* name, const Shape& x, const Pool2dOptions& o) {
  require(x.dims() == 4, "{}: the input is {}, not (batch, height, width, channels)", name, x);
  require(o.window.height > 0 && o.window.width > 0 && o.stride.height > 0 && o.stride.width > 0,
          "{}: the window ({}, {}) and the stride ({}, {}) must be positive", name, o.window.height, o.window.width,
          o.stride.height, o.stride.width);
  require(o.padding.height >= 0 && o.padding.width >= 0 && o.padding.height < o.window.height &&
              o.padding.width < o.window.width,
          "{}: the padding ({}, {}) must be at least 0 and smaller than the window ({}, {})", name, o.padding.height,
          o.padding.width, o.window.height, o.window.width);
  require(x[1] + 2 * o.padding.height >= o.window.height && x[2] + 2 * o.padding.width >= o.window.width && x[1] > 0 &&
              x[2] > 0,
          "{}: the window ({}, {}) is larger than the input {} with padding ({}, {})", name, o.window.height,
          o.window.width, x, o.padding.height, o.padding.width);
}

PoolExtents extents_of(const char* name, const Shape& x, const Pool2dOptions& o) {
  check(name, x, o);
  return {.batch = x[0],
          .height = x[1],
          .width = x[2],
          .channels = x[3],
          .out_height = (x[1] + 2 * o.padding.height - o.window.height) / o.stride.height + 1,
          .out_width = (x[2] + 2 * o.padding.width - o.window.width) / o.stride.width + 1,
          .window_h = o.window.height,
          .window_w = o.window.width,
          .stride_h = o.stride.height,
          .stride_w = o.stride.width,
          .padding_h = o.padding.height,
          .padding_w = o.padding.width};
}

RowsShape output_rows(const PoolExtents& e) {
  return {e.batch * e.out_height, e.out_width * e.window_h * e.window_w * e.channels};
}
RowsShape input_rows(const PoolExtents& e) { return {e.batch * e.height, e.width * e.channels}; }

void max_pool_gradient(Context& context, Gradients& g, const PoolExtents& e, const Tensor& index) {
  const Tensor dy = g.output();
  const Destination to = g.to(0);
  with_floating(dy.dtype(), "max_pool2d", [&](auto zero) {
    using T = decltype(zero);
    const T* gradient = dy.data<T>();
    const auto* position = index.data<std::uint8_t>();
    const auto beta = static_cast<Accum<T>>(to.beta());
    if (e.stride_h >= e.window_h && e.stride_w >= e.window_w) {
      launch_rows(context.stream(), output_rows(e),
                  kernels::MaxPoolGradientApart<T>{gradient, position, to.tensor.data<T>(), e, beta});
    } else {
      launch_rows(context.stream(), input_rows(e),
                  kernels::MaxPoolGradient<T>{gradient, position, to.tensor.data<T>(), e, beta});
    }
  });
}

void average_pool_gradient(Context& context, Gradients& g, const PoolExtents& e, PaddingCounts counts) {
  const Tensor dy = g.output();
  const Destination to = g.to(0);
  with_floating(dy.dtype(), "average_pool2d", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), input_rows(e),
                kernels::AveragePoolGradient<T>{.dy = dy.data<T>(),
                                                .dx = to.tensor.data<T>(),
                                                .e = e,
                                                .whole = counts == PaddingCounts::yes ? 1u : 0u,
                                                .beta = to.beta()});
  });
}

}  // namespace

Value max_pool2d(Context& context, const Value& x, const Pool2dOptions& options) {
  const PoolExtents e = extents_of("max_pool2d", x.shape(), options);
  require(e.window_h * e.window_w < kernels::no_maximum,
          "max_pool2d: the window ({}, {}) has more than 254 positions, whose number is kept in a byte", e.window_h,
          e.window_w);
  require(options.activation == Activation::none || options.activation == Activation::relu,
          "max_pool2d: only relu can be part of it; apply another activation after it");
  const Tensor y = context.empty({e.batch, e.out_height, e.out_width, e.channels}, x.dtype());
  const Tensor index = x.needs_gradient() ? context.empty(y.shape(), DType::u8) : Tensor();
  with_floating(x.dtype(), "max_pool2d", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), output_rows(e),
                kernels::MaxPoolForward<T>{.x = x.tensor().data<T>(),
                                           .y = y.data<T>(),
                                           .index = index ? index.data<std::uint8_t>() : nullptr,
                                           .e = e,
                                           .relu = options.activation == Activation::relu ? 1u : 0u});
  });
  return context.record(
      {"max_pool2d", {&x, 1}, [e, index](Context& c, Gradients& g) { max_pool_gradient(c, g, e, index); }}, y);
}

Value average_pool2d(Context& context, const Value& x, const Pool2dOptions& options) {
  const PoolExtents e = extents_of("average_pool2d", x.shape(), options);
  require(options.activation == Activation::none, "average_pool2d: apply the activation after it");
  const Tensor y = context.empty({e.batch, e.out_height, e.out_width, e.channels}, x.dtype());
  const PaddingCounts counts = options.padding_counts;
  with_floating(x.dtype(), "average_pool2d", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(
        context.stream(), output_rows(e),
        kernels::AveragePoolForward<T>{x.tensor().data<T>(), y.data<T>(), e, counts == PaddingCounts::yes ? 1u : 0u});
  });
  return context.record(
      {"average_pool2d", {&x, 1}, [e, counts](Context& c, Gradients& g) { average_pool_gradient(c, g, e, counts); }},
      y);
}

Value global_average_pool(Context& context, const Value& x) {
  const Shape& shape = x.shape();
  require(shape.dims() == 4 && shape[1] * shape[2] > 0,
          "global_average_pool: the input is {}, not (batch, height, width, channels) with pixels", shape);
  const std::int64_t pixels = shape[1] * shape[2], channels = shape[3], batch = shape[0];
  const Tensor y = context.empty({batch, channels}, x.dtype());
  with_floating(x.dtype(), "global_average_pool", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {batch, pixels * channels},
                kernels::GlobalAverageForward<T>{x.tensor().data<T>(), y.data<T>(), pixels, channels});
  });
  return context.record({"global_average_pool",
                         {&x, 1},
                         [=](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           const Destination to = g.to(0);
                           with_floating(dy.dtype(), "global_average_pool", [&](auto zero) {
                             using T = decltype(zero);
                             launch_rows(c.stream(), {batch * pixels, channels},
                                         kernels::GlobalAverageGradient<T>{dy.data<T>(), to.tensor.data<T>(), pixels,
                                                                           channels, to.beta()});
                           });
                         }},
                        y);
}

}  // namespace trireme::ops
