// Pooling over windows of channels-last images, and its gradients. Lanes run over channels. Each kernel owns the
// elements it writes, so there are no races and every sum has a fixed order.
#pragma once

#include "core/kernels/simd.hpp"

namespace trireme::kernels {

/// Extents of a pooling. Images are (batch, height, width, channels) and (batch, out_height, out_width, channels).
/// Window (oh, ow) begins at input (oh * stride_h - padding_h, ow * stride_w - padding_w); only what lies inside the
/// image takes part.
struct PoolExtents {
  std::int64_t batch, height, width, channels;
  std::int64_t out_height, out_width;
  std::int64_t window_h, window_w, stride_h, stride_w, padding_h, padding_w;
};

/// Positions [begin, end) along one dim.
struct Span {
  std::int64_t begin, end;
};
/// What window number `out` covers of a dim of n positions.
TRIREME_HD inline Span covered(std::int64_t out, std::int64_t n, std::int64_t stride, Span padding_window) {
  const std::int64_t first = out * stride - padding_window.begin, last = first + padding_window.end;
  return {first > 0 ? first : 0, last < n ? last : n};
}
/// Which of `outs` windows cover position `at`.
TRIREME_HD inline Span covering(std::int64_t at, std::int64_t outs, std::int64_t stride, Span padding_window) {
  const std::int64_t shifted = at + padding_window.begin, first = shifted - padding_window.end + stride;
  const std::int64_t begin = first > 0 ? first / stride : 0, end = shifted / stride + 1;
  return {begin, end < outs ? end : outs};
}

/// The index of a window whose maximum gets no gradient.
inline constexpr int no_maximum = 255;

/// A row kernel over batch * out_height rows of outputs: y = largest of the window, index = its position in the window
/// (kh * window_w + kw, the first of equal ones). With relu a negative y becomes 0 and its index `no_maximum`. NaN
/// wins.
template <class T>
struct MaxPoolForward {
  static constexpr const char* name = "max_pool2d";
  const T* x;
  T* y;
  std::uint8_t* index;  ///< Null where no gradient will be wanted.
  PoolExtents e;
  std::uint32_t relu;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t image = row / e.out_height, oh = row % e.out_height;
    const Span h = covered(oh, e.height, e.stride_h, {e.padding_h, e.window_h});
    const T* in = x + image * e.height * e.width * e.channels;
    for (std::int64_t ow = 0; ow < e.out_width; ++ow) {
      const Span w = covered(ow, e.width, e.stride_w, {e.padding_w, e.window_w});
      const std::int64_t origin = (oh * e.stride_h - e.padding_h) * e.window_w + ow * e.stride_w - e.padding_w;
      const std::int64_t out = (row * e.out_width + ow) * e.channels;
      for_each_wide<T>(team, e.channels, [&](std::int64_t c, auto width) {
        window(in + c, {h, w, origin, out + c}, width);
      });
    }
  }

 private:
  struct Window {
    Span h, w;
    std::int64_t origin, out;
  };
  template <class W>
  TRIREME_HD void window(const T* in, const Window& at, W width) const {
    auto best = load_vec(in + (at.h.begin * e.width + at.w.begin) * e.channels, width);
    const auto first = code(at, at.h.begin, at.w.begin);
    auto position = map([first](auto v) { return decltype(v){} + first; }, best);
    for (std::int64_t h = at.h.begin; h < at.h.end; ++h) {
      for (std::int64_t w = at.w.begin; w < at.w.end; ++w) {
        const auto v = load_vec(in + (h * e.width + w) * e.channels, width);
        const auto here = code(at, h, w);
        const auto moved = [here](auto value, auto top, auto old) {
          return (value > top) | (value != value) ? decltype(value){} + here : old;
        };
        position = map(moved, v, best, position);
        best = map([](auto value, auto top) { return (value > top) | (value != value) ? value : top; }, v, best);
      }
    }
    if (relu != 0) {
      position =
          map([](auto top, auto old) { return top > decltype(top){} ? old : decltype(top){} + Accum<T>(no_maximum); },
              best, position);
      best = map([](auto top) { return top < decltype(top){} ? decltype(top){} : top; }, best);
    }
    store_vec(y + at.out, best);
    if (index != nullptr) store_bytes(index + at.out, position);
  }
  /// As a number, for comparisons in registers.
  TRIREME_HD Accum<T> code(const Window& at, std::int64_t h, std::int64_t w) const {
    return static_cast<Accum<T>>(h * e.window_w + w - at.origin);
  }
};

/// A row kernel over batch * height rows of inputs: dx = beta * dx + dy of the windows whose maximum it is.
template <class T>
struct MaxPoolGradient {
  static constexpr const char* name = "max_pool2d_gradient";
  const T* dy;
  const std::uint8_t* index;
  T* dx;
  PoolExtents e;
  Accum<T> beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t image = row / e.height, h = row % e.height;
    const Span oh = covering(h, e.out_height, e.stride_h, {e.padding_h, e.window_h});
    for (std::int64_t w = 0; w < e.width; ++w) {
      const Span ow = covering(w, e.out_width, e.stride_w, {e.padding_w, e.window_w});
      for_each_wide<T>(team, e.channels, [&](std::int64_t c, auto width) { pixel({image, h, w, oh, ow}, c, width); });
    }
  }

 private:
  struct Place {
    std::int64_t image, h, w;
    Span oh, ow;
  };
  template <class W>
  TRIREME_HD void pixel(const Place& at, std::int64_t c, W width) const {
    Vec<Accum<T>, W{}> sum;
    for (std::int64_t oh = at.oh.begin; oh < at.oh.end; ++oh) {
      for (std::int64_t ow = at.ow.begin; ow < at.ow.end; ++ow) {
        const auto here = static_cast<Accum<T>>((at.h + e.padding_h - oh * e.stride_h) * e.window_w + at.w +
                                                e.padding_w - ow * e.stride_w);
        const std::int64_t from = ((at.image * e.out_height + oh) * e.out_width + ow) * e.channels + c;
        const auto add = [here](auto total, auto position, auto gradient) {
          return total + (position == here ? gradient : decltype(gradient){});
        };
        sum = map(add, sum, load_bytes<Accum<T>>(index + from, width), load_vec(dy + from, width));
      }
    }
    T* out = dx + ((at.image * e.height + at.h) * e.width + at.w) * e.channels + c;
    store_vec(out, plus_old(sum, beta, static_cast<const T*>(out)));
  }
};

/// The same where windows do not overlap (stride >= window), a row kernel over batch * out_height rows of outputs: each
/// window owns the inputs from its begin to the next one's.
template <class T>
struct MaxPoolGradientApart {
  static constexpr const char* name = "max_pool2d_gradient_apart";
  const T* dy;
  const std::uint8_t* index;
  T* dx;
  PoolExtents e;
  Accum<T> beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t image = row / e.out_height, oh = row % e.out_height;
    const std::int64_t top = oh * e.stride_h - e.padding_h;
    const Span h{oh == 0 ? 0 : top, oh + 1 == e.out_height ? e.height : top + e.stride_h};
    T* out = dx + image * e.height * e.width * e.channels;
    for (std::int64_t ow = 0; ow < e.out_width; ++ow) {
      const std::int64_t left = ow * e.stride_w - e.padding_w;
      const Span w{ow == 0 ? 0 : left, ow + 1 == e.out_width ? e.width : left + e.stride_w};
      const std::int64_t from = (row * e.out_width + ow) * e.channels;
      for_each_wide<T>(team, e.channels, [&](std::int64_t c, auto width) {
        band(out + c, {h, w, top, left, from + c}, width);
      });
    }
  }

 private:
  struct Band {
    Span h, w;
    std::int64_t top, left, from;
  };
  template <class W>
  TRIREME_HD void band(T* out, const Band& at, W width) const {
    const auto gradient = load_vec(dy + at.from, width), position = load_bytes<Accum<T>>(index + at.from, width);
    for (std::int64_t h = at.h.begin; h < at.h.end; ++h) {
      for (std::int64_t w = at.w.begin; w < at.w.end; ++w) {
        const bool inside = h - at.top < e.window_h && w - at.left < e.window_w;
        const auto here = static_cast<Accum<T>>(inside ? (h - at.top) * e.window_w + w - at.left : -1);
        T* to = out + (h * e.width + w) * e.channels;
        const auto v = map([here](auto p, auto g) { return p == here ? g : decltype(g){}; }, position, gradient);
        store_vec(to, plus_old(v, beta, static_cast<const T*>(to)));
      }
    }
  }
};

/// A row kernel over batch * out_height rows of outputs: y = sum of the window / its count, which is the whole window's
/// (`whole`) or only of the positions inside the image.
template <class T>
struct AveragePoolForward {
  static constexpr const char* name = "average_pool2d";
  const T* x;
  T* y;
  PoolExtents e;
  std::uint32_t whole;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t image = row / e.out_height;
    const Span h = covered(row % e.out_height, e.height, e.stride_h, {e.padding_h, e.window_h});
    const T* in = x + image * e.height * e.width * e.channels;
    for (std::int64_t ow = 0; ow < e.out_width; ++ow) {
      const Span w = covered(ow, e.width, e.stride_w, {e.padding_w, e.window_w});
      const std::int64_t seen = (h.end - h.begin) * (w.end - w.begin);
      const auto factor = 1 / static_cast<Accum<T>>(whole != 0 ? e.window_h * e.window_w : seen);
      T* out = y + (row * e.out_width + ow) * e.channels;
      for_each_wide<T>(team, e.channels, [&](std::int64_t c, auto width) {
        Vec<Accum<T>, width> sum;
        for (std::int64_t at_h = h.begin; at_h < h.end; ++at_h)
          for (std::int64_t at_w = w.begin; at_w < w.end; ++at_w)
            sum = map([](auto total, auto v) { return total + v; }, sum,
                      load_vec(in + (at_h * e.width + at_w) * e.channels + c, width));
        store_vec(out + c, map([factor](auto total) { return total * factor; }, sum));
      });
    }
  }
};

/// A row kernel over batch * height rows of inputs: dx = beta * dx + the shares of the windows that cover it.
template <class T>
struct AveragePoolGradient {
  static constexpr const char* name = "average_pool2d_gradient";
  const T* dy;
  T* dx;
  PoolExtents e;
  std::uint32_t whole;
  Accum<T> beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t image = row / e.height, h = row % e.height;
    const Span oh = covering(h, e.out_height, e.stride_h, {e.padding_h, e.window_h});
    for (std::int64_t w = 0; w < e.width; ++w) {
      const Span ow = covering(w, e.out_width, e.stride_w, {e.padding_w, e.window_w});
      T* out = dx + (row * e.width + w) * e.channels;
      for_each_wide<T>(team, e.channels, [&](std::int64_t c, auto width) { pixel({image, oh, ow}, {out, c}, width); });
    }
  }

 private:
  struct Windows {
    std::int64_t image;
    Span oh, ow;
  };
  struct To {
    T* out;
    std::int64_t c;
  };
  template <class W>
  TRIREME_HD void pixel(const Windows& at, To to, W width) const {
    Vec<Accum<T>, W{}> sum;
    for (std::int64_t oh = at.oh.begin; oh < at.oh.end; ++oh) {
      for (std::int64_t ow = at.ow.begin; ow < at.ow.end; ++ow) {
        const auto factor = share(oh, ow);
        const T* from = dy + ((at.image * e.out_height + oh) * e.out_width + ow) * e.channels + to.c;
        sum = map([factor](auto total, auto v) { return total + factor * v; }, sum, load_vec(from, width));
      }
    }
    store_vec(to.out + to.c, plus_old(sum, beta, static_cast<const T*>(to.out + to.c)));
  }
  TRIREME_HD Accum<T> share(std::int64_t oh, std::int64_t ow) const {
    const Span h = covered(oh, e.height, e.stride_h, {e.padding_h, e.window_h});
    const Span w = covered(ow, e.width, e.stride_w, {e.padding_w, e.window_w});
    const std::int64_t seen = (h.end - h.begin) * (w.end - w.begin);
    return 1 / static_cast<Accum<T>>(whole != 0 ? e.window_h * e.window_w : seen);
  }
};

/// A row kernel over the batch: y (batch, channels) = mean over the pixels of x (batch, pixels, channels).
template <class T>
struct GlobalAverageForward {
  static constexpr const char* name = "global_average_pool";
  const T* x;
  T* y;
  std::int64_t pixels, channels;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const auto factor = 1 / static_cast<Accum<T>>(pixels);
    for_each_wide<T>(team, channels, [&](std::int64_t c, auto width) {
      Vec<Accum<T>, width> sum;
      for (std::int64_t p = 0; p < pixels; ++p)
        sum = map([](auto total, auto v) { return total + v; }, sum,
                  load_vec(x + (row * pixels + p) * channels + c, width));
      store_vec(y + row * channels + c, map([factor](auto total) { return total * factor; }, sum));
    });
  }
};

/// A row kernel over batch * pixels rows: dx = beta * dx + dy / pixels.
template <class T>
struct GlobalAverageGradient {
  static constexpr const char* name = "global_average_pool_gradient";
  const T* dy;
  T* dx;
  std::int64_t pixels, channels;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const auto factor = 1 / static_cast<Accum<T>>(pixels);
    const T* from = dy + row / pixels * channels;
    T* out = dx + row * channels;
    for_each_wide<T>(team, channels, [&](std::int64_t c, auto width) {
      const auto v = map([factor](auto g) { return g * factor; }, load_vec(from + c, width));
      store_vec(out + c, plus_old(v, beta, static_cast<const T*>(out + c)));
    });
  }
};

}  // namespace trireme::kernels
