// Convolution (cross-correlation) of channels-last images and its gradients as plain texts: the arithmetic of f64, of
// devices without a library, and what the libraries are compared with. Each element is summed alone in a fixed order.
#pragma once

#include "core/kernels/simd.hpp"

namespace trireme::kernels {

/// Extents of a convolution. Images are (batch, height, width, channels) and (batch, out_height, out_width, outputs),
/// filters (outputs, filter_height, filter_width, channels / groups). Output (oh, ow) sees input
/// (oh * stride_h - padding_h + kh * dilation_h, ow * stride_w - padding_w + kw * dilation_w).
struct ConvExtents {
  std::int64_t batch, height, width, channels;
  std::int64_t out_height, out_width, outputs;
  std::int64_t filter_height, filter_width;
  std::int64_t stride_h, stride_w, padding_h, padding_w;
  std::int64_t groups;
  std::int64_t dilation_h = 1, dilation_w = 1;

  TRIREME_HD std::int64_t group_channels() const { return channels / groups; }
  TRIREME_HD std::int64_t group_outputs() const { return outputs / groups; }
  TRIREME_HD std::int64_t taps() const { return filter_height * filter_width; }
};

/// A row kernel over batch * out_height rows of outputs: y = act(x * filter + bias). `filter` is turned:
/// (filter_height, filter_width, channels / groups, outputs), so that lanes run over outputs; bias (outputs) or null.
template <class T>
struct ConvForward {
  static constexpr const char* name = "conv2d_reference";
  const T* x;
  const T* filter;
  const T* bias;
  T* y;
  ConvExtents e;
  std::uint32_t relu;  ///< 1: negative results become 0.

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t image = row / e.out_height, top = row % e.out_height * e.stride_h - e.padding_h;
    const T* in = x + image * e.height * e.width * e.channels;
    for (std::int64_t ow = 0; ow < e.out_width; ++ow) {
      const std::int64_t left = ow * e.stride_w - e.padding_w;
      T* out = y + (row * e.out_width + ow) * e.outputs;
      for (std::int64_t g = 0; g < e.groups; ++g)
        for_each_wide<T>(team, e.group_outputs(), [&](std::int64_t c, auto width) {
          pixel(in + g * e.group_channels(), out, {g * e.group_outputs() + c, top, left}, width);
        });
    }
  }

 private:
  struct Place {
    std::int64_t output, top, left;
  };
  template <class W>
  TRIREME_HD void pixel(const T* in, T* out, Place at, W width) const {
    Vec<T, W{}> sum;
    for (std::int64_t kh = 0; kh < e.filter_height; ++kh) {
      const std::int64_t h = at.top + kh * e.dilation_h;
      if (h < 0 || h >= e.height) continue;
      for (std::int64_t kw = 0; kw < e.filter_width; ++kw) {
        const std::int64_t w = at.left + kw * e.dilation_w;
        if (w < 0 || w >= e.width) continue;
        const T* values = in + (h * e.width + w) * e.channels;
        const T* weights = filter + (kh * e.filter_width + kw) * e.group_channels() * e.outputs + at.output;
        for (std::int64_t i = 0; i < e.group_channels(); ++i) {
          const auto value = static_cast<T>(values[i]);
          sum = map([value](auto total, auto weight) { return total + value * weight; }, sum,
                    load_vec(weights + i * e.outputs, width));
        }
      }
    }
    if (bias != nullptr) sum = map([](auto v, auto more) { return v + more; }, sum, load_vec(bias + at.output, width));
    if (relu != 0) sum = map([](auto v) { return v < decltype(v){} ? decltype(v){} : v; }, sum);
    store_vec(out + at.output, sum);
  }
};

/// A row kernel over batch * height rows of inputs: dx = beta * dx + the sum over the outputs that saw it. `filter` has
/// its usual form (outputs, filter_height, filter_width, channels / groups): lanes run over channels.
template <class T>
struct ConvDataGradient {
  static constexpr const char* name = "conv2d_data_gradient_reference";
  const T* dy;
  const T* filter;
  T* dx;
  ConvExtents e;
  T beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t image = row / e.height, h = row % e.height;
    for (std::int64_t w = 0; w < e.width; ++w) {
      T* out = dx + (row * e.width + w) * e.channels;
      for (std::int64_t g = 0; g < e.groups; ++g)
        for_each_wide<T>(team, e.group_channels(), [&](std::int64_t c, auto width) {
          pixel({image, h, w, g, c}, out, width);
        });
    }
  }

 private:
  struct Place {
    std::int64_t image, h, w, group, channel;
  };
  template <class W>
  TRIREME_HD void pixel(Place at, T* out, W width) const {
    Vec<T, W{}> sum;
    for (std::int64_t kh = 0; kh < e.filter_height; ++kh) {
      const std::int64_t down = at.h + e.padding_h - kh * e.dilation_h, oh = down / e.stride_h;
      if (down < 0 || down % e.stride_h != 0 || oh >= e.out_height) continue;
      for (std::int64_t kw = 0; kw < e.filter_width; ++kw) {
        const std::int64_t right = at.w + e.padding_w - kw * e.dilation_w, ow = right / e.stride_w;
        if (right < 0 || right % e.stride_w != 0 || ow >= e.out_width) continue;
        const std::int64_t first = at.group * e.group_outputs(), each = e.taps() * e.group_channels();
        const T* gradients = dy + ((at.image * e.out_height + oh) * e.out_width + ow) * e.outputs + first;
        const T* weights = filter + first * each + (kh * e.filter_width + kw) * e.group_channels() + at.channel;
        for (std::int64_t o = 0; o < e.group_outputs(); ++o) {
          const auto gradient = static_cast<T>(gradients[o]);
          sum = map([gradient](auto total, auto weight) { return total + gradient * weight; }, sum,
                    load_vec(weights + o * each, width));
        }
      }
    }
    const std::int64_t c = at.group * e.group_channels() + at.channel;
    store_vec(out + c, plus_old(sum, beta, static_cast<const T*>(out + c)));
  }
};

/// A row kernel over the outputs * taps rows of the filter: dfilter = beta * dfilter + the sum over all output pixels.
template <class T>
struct ConvFilterGradient {
  static constexpr const char* name = "conv2d_filter_gradient_reference";
  const T* x;
  const T* dy;
  T* dfilter;
  ConvExtents e;
  T beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t output = row / e.taps(), tap = row % e.taps();
    for_each_wide<T>(team, e.group_channels(), [&](std::int64_t c, auto width) {
      T* out = dfilter + row * e.group_channels() + c;
      store_vec(out, plus_old(over_images(output, tap, c, width), beta, static_cast<const T*>(out)));
    });
  }

 private:
  template <int n>
  TRIREME_HD Vec<T, n> over_images(std::int64_t output, std::int64_t tap, std::int64_t channel, Width<n> width) const {
    const std::int64_t down = tap / e.filter_width * e.dilation_h, right = tap % e.filter_width * e.dilation_w;
    const std::int64_t first = output / e.group_outputs() * e.group_channels() + channel;
    Vec<T, n> sum;
    for (std::int64_t line = 0; line < e.batch * e.out_height; ++line) {
      const std::int64_t image = line / e.out_height, h = line % e.out_height * e.stride_h - e.padding_h + down;
      if (h < 0 || h >= e.height) continue;
      const T* in = x + (image * e.height + h) * e.width * e.channels + first;
      const T* gradients = dy + line * e.out_width * e.outputs + output;
      for (std::int64_t ow = 0; ow < e.out_width; ++ow) {
        const std::int64_t w = ow * e.stride_w - e.padding_w + right;
        if (w < 0 || w >= e.width) continue;
        const auto gradient = static_cast<T>(gradients[ow * e.outputs]);
        sum = map([gradient](auto total, auto value) { return total + gradient * value; }, sum,
                  load_vec(in + w * e.channels, width));
      }
    }
    return sum;
  }
};

}  // namespace trireme::kernels
