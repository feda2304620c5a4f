#include "core/ops/conv2d.hpp"

#include <optional>

#include "core/kernels/launch.hpp"
#include "core/ops/conv2d_cudnn.hpp"
#include "core/ops/conv2d_onednn.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/half_conv2d.hpp"
#include "core/ops/reduce.hpp"
#include "core/tape/write.hpp"

namespace trireme::ops {
namespace {

using kernels::ConvExtents;

/// What a filter reaches over: with dilation d its elements are d apart.
std::int64_t reach(std::int64_t filter, std::int64_t dilation) { return (filter - 1) * dilation + 1; }

std::int64_t out_extent(std::int64_t in, std::int64_t reached, std::pair<std::int64_t, std::int64_t> stride_padding) {
  const auto [stride, padding] = stride_padding;
  return (in + 2 * padding - reached) / stride + 1;
}

void check_options(const Conv2dOptions& o) {
  require(o.stride.height > 0 && o.stride.width > 0, "conv2d: the stride ({}, {}) must be positive", o.stride.height,
          o.stride.width);
  require(o.padding.height >= 0 && o.padding.width >= 0, "conv2d: the padding ({}, {}) must not be negative",
          o.padding.height, o.padding.width);
  require(o.dilation.height > 0 && o.dilation.width > 0, "conv2d: the dilation ({}, {}) must be positive",
          o.dilation.height, o.dilation.width);
  require(o.groups > 0, "conv2d: {} groups; the number must be positive", o.groups);
}

void check_shapes(const Shape& x, const Shape& filter, const Conv2dOptions& o) {
  require(x.dims() == 4, "conv2d: the input is {}, not (batch, height, width, channels)", x);
  require(filter.dims() == 4 && filter.elements() > 0,
          "conv2d: the filter is {}, not (outputs, height, width, channels / groups)", filter);
  require(filter[3] * o.groups == x[3], "conv2d: the filter {} in {} groups wants {} channels, but the input is {}",
          filter, o.groups, filter[3] * o.groups, x);
  require(filter[0] % o.groups == 0, "conv2d: {} outputs cannot be shared by {} groups; the groups must divide them",
          filter[0], o.groups);
  const std::int64_t height = reach(filter[1], o.dilation.height), width = reach(filter[2], o.dilation.width);
  require(x[1] + 2 * o.padding.height >= height && x[2] + 2 * o.padding.width >= width,
          "conv2d: the filter {}, which reaches over ({}, {}), is larger than the input {} with padding ({}, {})",
          filter, height, width, x, o.padding.height, o.padding.width);
}

void check_types(const Value& x, const Conv2dParameters& p) {
  require(p.filter.dtype() == x.dtype(), "conv2d: the filter is {}, but the input is {}", name_of(p.filter.dtype()),
          name_of(x.dtype()));
  if (!p.bias.tensor()) return;
  require(p.bias.shape() == Shape{p.filter.shape()[0]} && p.bias.dtype() == x.dtype(),
          "conv2d: the bias is {} of {}, but the filter {} of {} wants ({})", p.bias.shape(), name_of(p.bias.dtype()),
          p.filter.shape(), name_of(x.dtype()), p.filter.shape()[0]);
}

ConvExtents extents_of(const Value& input, const Conv2dParameters& p, const Conv2dOptions& o) {
  check_options(o);
  const Shape &x = input.shape(), &filter = p.filter.shape();
  check_shapes(x, filter, o);
  check_types(input, p);
  return {.batch = x[0],
          .height = x[1],
          .width = x[2],
          .channels = x[3],
          .out_height = out_extent(x[1], reach(filter[1], o.dilation.height), {o.stride.height, o.padding.height}),
          .out_width = out_extent(x[2], reach(filter[2], o.dilation.width), {o.stride.width, o.padding.width}),
          .outputs = filter[0],
          .filter_height = filter[1],
          .filter_width = filter[2],
          .stride_h = o.stride.height,
          .stride_w = o.stride.width,
          .padding_h = o.padding.height,
          .padding_w = o.padding.width,
          .groups = o.groups,
          .dilation_h = o.dilation.height,
          .dilation_w = o.dilation.width};
}

struct ConvKept {
  Saved x, filter;
  std::optional<Saved> y;  ///< With a fused ReLU.
  ConvExtents extents;
  Backend backend;
};

bool by_library(const Context& context, DType dtype, Backend backend) {
  return backend == Backend::best && dtype == DType::f32 && !context.device().is_cuda();
}

bool on_gpu(const Context& context, Backend backend) { return backend == Backend::best && context.device().is_cuda(); }

template <class T>
void reference_forward(Context& context, const ConvForwardCall& call) {
  const ConvExtents& e = call.extents;
  const Tensor turned = transposed(context, call.filter.tensor(), {1, e.outputs, e.taps() * e.group_channels()});
  launch_rows(context.stream(), {e.batch * e.out_height, e.out_width * e.outputs * e.taps() * e.group_channels()},
              kernels::ConvForward<T>{.x = call.x.data<T>(),
                                      .filter = turned.data<T>(),
                                      .bias = call.bias ? call.bias.data<T>() : nullptr,
                                      .y = call.y.data<T>(),
                                      .e = e,
                                      .relu = call.finish == Product::Finish::relu ? 1u : 0u});
}

template <class T>
void reference_data_gradient(Context& context, const ConvDataGradientCall& call) {
  const ConvExtents& e = call.extents;
  launch_rows(context.stream(), {e.batch * e.height, e.width * e.channels * e.taps() * e.group_outputs()},
              kernels::ConvDataGradient<T>{.dy = call.dy.data<T>(),
                                           .filter = call.filter.tensor().data<T>(),
                                           .dx = call.dx.tensor.data<T>(),
                                           .e = e,
                                           .beta = call.dx.beta()});
}

template <class T>
void reference_filter_gradient(Context& context, const ConvFilterGradientCall& call) {
  const ConvExtents& e = call.extents;
  launch_rows(context.stream(), {e.outputs * e.taps(), e.group_channels() * e.batch * e.out_height * e.out_width},
              kernels::ConvFilterGradient<T>{.x = call.x.data<T>(),
                                             .dy = call.dy.data<T>(),
                                             .dfilter = call.dfilter.tensor.data<T>(),
                                             .e = e,
                                             .beta = call.dfilter.beta()});
}

void forward(Context& context, const ConvForwardCall& call, Backend backend) {
  if (context.on_meta() || call.y.elements() == 0) return;
  if (by_library(context, call.y.dtype(), backend)) return onednn::conv_forward(context, call);
  if (on_gpu(context, backend) && cudnn::conv_forward(context, call)) return;
  if (is_half(call.y.dtype()))
    return half_conv_forward(context, call, [&](const auto& wide) { forward(context, wide, backend); });
  with_wide_floating(call.y.dtype(), "conv2d", [&](auto zero) { reference_forward<decltype(zero)>(context, call); });
}

void data_gradient(Context& context, const ConvDataGradientCall& call, Backend backend) {
  if (by_library(context, call.dy.dtype(), backend)) return onednn::conv_data_gradient(context, call);
  if (on_gpu(context, backend) && cudnn::conv_data_gradient(context, call)) return;
  if (is_half(call.dy.dtype()))
    return half_conv_data_gradient(context, call, [&](const auto& wide) { data_gradient(context, wide, backend); });
  with_wide_floating(call.dy.dtype(), "conv2d",
                     [&](auto zero) { reference_data_gradient<decltype(zero)>(context, call); });
}

void filter_gradient(Context& context, const ConvFilterGradientCall& call, Backend backend) {
  const DType dtype = call.dy.dtype();
  const bool any = call.dy.elements() > 0;
  if (any && by_library(context, dtype, backend)) return onednn::conv_filter_gradient(context, call);
  const bool done = any && on_gpu(context, backend) && cudnn::conv_filter_gradient(context, call);
  if (!done && is_half(dtype)) {
    half_conv_filter_gradient(context, call, [&](const auto& wide) { filter_gradient(context, wide, backend); });
  } else if (!done) {
    with_wide_floating(dtype, "conv2d", [&](auto zero) { reference_filter_gradient<decltype(zero)>(context, call); });
  }
  if (call.dbias.tensor) column_sum_into(context, call.dy, call.dbias, 1);
}

void input_gradient(Context& context, Gradients& g, const ConvKept& kept, const Tensor& dy) {
  static_cast<void>(kept.filter.get());  // throws if a constant filter was changed since
  const ConvDataGradientCall call{kept.extents, dy, kept.filter.value(), g.to(0)};
  if (context.on_meta() || call.dx.tensor.elements() == 0) return;
  data_gradient(context, call, kept.backend);
}

void parameter_gradients(Context& context, Gradients& g, const ConvKept& kept, const Tensor& dy) {
  // cuDNN writes the gradient of a filter in the type of the images only.
  const ConvFilterGradientCall call{kept.extents, kept.x.get(), dy,
                                    context.device().is_cuda() ? g.to(1) : g.to_stored(1),
                                    g.wanted(2) ? g.to_stored(2) : Destination{}};
  if (!context.on_meta()) filter_gradient(context, call, kept.backend);
}

void gradient(Context& context, Gradients& g, const ConvKept& kept) {
  const Tensor dy = kept.y ? gradient_before_relu(context, g, kept.y->get()) : g.output();
  if (g.wanted(0)) input_gradient(context, g, kept, dy);
  if (g.wanted(1)) {
    parameter_gradients(context, g, kept, dy);
  } else if (g.wanted(2)) {
    column_sum_into(context, dy, g.to_stored(2), 1);
  }
}

/// The convolution whose transpose is asked for: it would make x, the smaller image, out of the result.
ConvExtents transpose_extents(const Value& input, const Conv2dParameters& p, const ConvTranspose2dOptions& options) {
  const Conv2dOptions& o = options.conv;
  check_options(o);
  const Shape &x = input.shape(), &filter = p.filter.shape();
  require(
      x.dims() == 4 && filter.dims() == 4 && filter.elements() > 0 && filter[0] == x[3] && x[3] % o.groups == 0 &&
          p.filter.dtype() == input.dtype(),
      "conv_transpose2d: the input {} of {} and the filter {} of {} in {} groups; wanted (B, H, W, C) and (C, height, "
      "width, outputs / groups) of one type, C divided by the groups",
      x, name_of(input.dtype()), filter, name_of(p.filter.dtype()), o.groups);
  require(!p.bias.tensor() || p.bias.shape() == Shape{filter[3] * o.groups},
          "conv_transpose2d: the bias is {}, but the filter {} in {} groups makes {} outputs", p.bias.shape(), filter,
          o.groups, filter[3] * o.groups);
  const Pair& more = options.output_padding;
  require(more.height >= 0 && more.width >= 0 && more.height < o.stride.height && more.width < o.stride.width,
          "conv_transpose2d: the output padding ({}, {}) must be at least 0 and less than the stride ({}, {})",
          more.height, more.width, o.stride.height, o.stride.width);
  const std::int64_t height =
      (x[1] - 1) * o.stride.height - 2 * o.padding.height + reach(filter[1], o.dilation.height) + more.height;
  const std::int64_t width =
      (x[2] - 1) * o.stride.width - 2 * o.padding.width + reach(filter[2], o.dilation.width) + more.width;
  require(x[1] > 0 && x[2] > 0 && height > 0 && width > 0,
          "conv_transpose2d: the result of {} and the filter {} with padding ({}, {}) would be {} x {} pixels", x,
          filter, o.padding.height, o.padding.width, height, width);
  return {.batch = x[0],
          .height = height,
          .width = width,
          .channels = filter[3] * o.groups,
          .out_height = x[1],
          .out_width = x[2],
          .outputs = x[3],
          .filter_height = filter[1],
          .filter_width = filter[2],
          .stride_h = o.stride.height,
          .stride_w = o.stride.width,
          .padding_h = o.padding.height,
          .padding_w = o.padding.width,
          .groups = o.groups,
          .dilation_h = o.dilation.height,
          .dilation_w = o.dilation.width};
}

/// The gradient of a transposed convolution's input is the convolution.
void transpose_gradient(Context& context, Gradients& g, const ConvKept& kept) {
  const Tensor dy = g.output();
  if (g.wanted(0)) {
    static_cast<void>(kept.filter.get());
    const Destination to = g.to(0);
    const bool adds = to.mode == Write::accumulate;
    const Tensor dx = adds ? context.empty(to.tensor.shape(), to.tensor.dtype()) : to.tensor;
    forward(context, {kept.extents, dy, kept.filter.value(), {}, Product::Finish::none, dx}, kept.backend);
    if (adds) write(context.stream(), {dx}, to);
  }
  if (!g.wanted(1)) return;
  const Tensor& x = kept.x.get();
  const ConvFilterGradientCall call{kept.extents, dy, x, context.device().is_cuda() ? g.to(1) : g.to_stored(1),
                                    Destination{}};
  if (!context.on_meta()) filter_gradient(context, call, kept.backend);
}

}  // namespace

Value conv2d(Context& context, const Value& x, const Conv2dParameters& parameters, const Conv2dOptions& options) {
  const ConvExtents e = extents_of(x, parameters, options);
  const bool relu = options.activation == Activation::relu;
  const Tensor y = context.empty({e.batch, e.out_height, e.out_width, e.outputs}, x.dtype());
  forward(context,
          {.extents = e,
           .x = x.tensor(),
           .filter = parameters.filter,
           .bias = parameters.bias.tensor(),
           .finish = relu ? Product::Finish::relu : Product::Finish::none,
           .y = y},
          options.backend);
  const Value inputs[] = {x, parameters.filter, parameters.bias};
  const ConvKept kept{Saved(x), Saved(parameters.filter), relu ? std::optional<Saved>(Value(y)) : std::nullopt, e,
                      options.backend};
  const Value out = context.record({"conv2d", inputs, [kept](Context& c, Gradients& g) { gradient(c, g, kept); }}, y);
  return relu ? out : activate(context, out, options.activation);
}

Value conv_transpose2d(Context& context, const Value& x, const Conv2dParameters& parameters,
                       const ConvTranspose2dOptions& options) {
  const ConvExtents e = transpose_extents(x, parameters, options);
  const Tensor y = context.empty({e.batch, e.height, e.width, e.channels}, x.dtype());
  const Backend backend = options.conv.backend;
  if (!context.on_meta() && y.elements() > 0)
    data_gradient(context, {e, x.tensor(), parameters.filter, {y, Write::overwrite}, true}, backend);
  const Value inputs[] = {x, parameters.filter};
  const ConvKept kept{Saved(x), Saved(parameters.filter), std::nullopt, e, backend};
  const auto gradient = [kept](Context& c, Gradients& g) { transpose_gradient(c, g, kept); };
  const Value out = context.record({"conv_transpose2d", inputs, gradient}, y);
  const Value sum = parameters.bias.tensor() ? add(context, out, parameters.bias) : out;
  return activate(context, sum, options.conv.activation);
}

}  // namespace trireme::ops
