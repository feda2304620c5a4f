// Kernels that compute each element alone: y = f(x) and y = f(a, b) with leading-dim broadcasting, and their gradients.
// A function is a struct with value() and, for its gradient, slope() of what it keeps (input or output).
#pragma once

#include <cmath>

#include "core/kernels/math.hpp"
#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// y[i] = f(x[i]); y may equal x.
template <class T, class F>
struct Map {
  static constexpr const char* name = F::name;
  static constexpr int pack = pack_width<T>, serial_pack = serial_width<T>;
  const T* x;
  T* y;
  F f;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    auto v = load(x + i, width);
    for (int k = 0; k < W{}; ++k) v[k] = f.value(v[k]);
    store(y + i, v);
  }
};

/// dx[i] = beta * dx[i] + dy[i] * slope(kept[i]); dx is not read when beta is 0.
template <class T, class F>
struct MapGradient {
  static constexpr const char* name = F::gradient_name;
  static constexpr int pack = pack_width<T>, serial_pack = serial_width<T>;
  const T* kept;
  const T* dy;
  T* dx;
  Accum<T> beta;
  F f;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    auto v = load(kept + i, width);
    const auto g = load(dy + i, width);
    for (int k = 0; k < W{}; ++k) v[k] = g[k] * f.slope(v[k]);
    if (beta != 0) {
      const auto old = load(static_cast<const T*>(dx) + i, width);
      for (int k = 0; k < W{}; ++k) v[k] += beta * old[k];
    }
    store(dx + i, v);
  }
};

/// One element everywhere or the elements from i on.
template <class T, int n>
TRIREME_HD Pack<Accum<T>, n> load_or_repeat(const T* p, std::int64_t i, int step, Width<n> width) {
  if (step != 0) return load(p + i, width);
  Pack<Accum<T>, n> out;
  const auto one = static_cast<Accum<T>>(*p);
  for (int k = 0; k < n; ++k) out[k] = one;
  return out;
}

/// y[i] = f(a[i * a_step], b[i * b_step]); a step is 1, or 0 for an operand of one element.
template <class T, class F>
struct Combine {
  static constexpr const char* name = F::name;
  static constexpr int pack = pack_width<T>, serial_pack = serial_width<T>;
  const T* a;
  const T* b;
  T* y;
  int a_step, b_step;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    auto u = load_or_repeat(a, i, a_step, width);
    const auto v = load_or_repeat(b, i, b_step, width);
    for (int k = 0; k < W{}; ++k) u[k] = F::value(u[k], v[k]);
    store(y + i, u);
  }
};

/// y[r, c] = f(a[r * a_stride + c], b[r * b_stride + c]); a stride is `features`, or 0 for a repeated row.
template <class T, class F>
struct CombineRows {
  static constexpr const char* name = F::name;
  const T* a;
  const T* b;
  T* y;
  std::int64_t a_stride, b_stride, features;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* left = a + row * a_stride;
    const T* right = b + row * b_stride;
    T* out = y + row * features;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto u = load(left + c, width);
      const auto v = load(right + c, width);
      for (int k = 0; k < width; ++k) u[k] = F::value(u[k], v[k]);
      store(out + c, u);
    });
  }
};

/// dx[i] = beta * dx[i] + dy[i] * slope(a[i * a_step], b[i * b_step]): the full-size gradient of one operand.
template <class T, class S>
struct CombineGradient {
  static constexpr const char* name = S::name;
  static constexpr int pack = pack_width<T>, serial_pack = serial_width<T>;
  const T* a;
  const T* b;
  const T* dy;
  T* dx;
  int a_step, b_step;
  Accum<T> beta;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    auto u = load_or_repeat(a, i, a_step, width);
    const auto v = load_or_repeat(b, i, b_step, width);
    const auto g = load(dy + i, width);
    for (int k = 0; k < W{}; ++k) u[k] = g[k] * S::value(u[k], v[k]);
    if (beta != 0) {
      const auto old = load(static_cast<const T*>(dx) + i, width);
      for (int k = 0; k < W{}; ++k) u[k] += beta * old[k];
    }
    store(dx + i, u);
  }
};

/// The same with operands that repeat a row (strides as in CombineRows).
template <class T, class S>
struct CombineGradientRows {
  static constexpr const char* name = S::name;
  const T* a;
  const T* b;
  const T* dy;
  T* dx;
  std::int64_t a_stride, b_stride, features;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* left = a + row * a_stride;
    const T* right = b + row * b_stride;
    const T* gradient = dy + row * features;
    T* out = dx + row * features;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto u = load(left + c, width);
      const auto v = load(right + c, width), g = load(gradient + c, width);
      for (int k = 0; k < width; ++k) u[k] = g[k] * S::value(u[k], v[k]);
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(out) + c, width);
        for (int k = 0; k < width; ++k) u[k] += beta * old[k];
      }
      store(out + c, u);
    });
  }
};

// Functions of two operands and the slopes towards each.
struct Add {
  static constexpr const char* name = "add";
  template <class A>
  TRIREME_HD static A value(A a, A b) {
    return a + b;
  }
};
struct Subtract {
  static constexpr const char* name = "sub";
  template <class A>
  TRIREME_HD static A value(A a, A b) {
    return a - b;
  }
};
struct Multiply {
  static constexpr const char* name = "mul";
  template <class A>
  TRIREME_HD static A value(A a, A b) {
    return a * b;
  }
};
struct Divide {
  static constexpr const char* name = "div";
  template <class A>
  TRIREME_HD static A value(A a, A b) {
    return a / b;
  }
};
/// The slope of a product towards its left operand, and with the operands exchanged towards its right one.
struct MultiplySlope {
  static constexpr const char* name = "mul_gradient";
  template <class A>
  TRIREME_HD static A value(A, A b) {
    return b;
  }
};
struct DivideSlopeLeft {
  static constexpr const char* name = "div_gradient";
  template <class A>
  TRIREME_HD static A value(A, A b) {
    return A{1} / b;
  }
};
struct DivideSlopeRight {
  static constexpr const char* name = "div_gradient";
  template <class A>
  TRIREME_HD static A value(A a, A b) {
    return -a / (b * b);
  }
};

// Functions of one operand; `kept` is the input unless said otherwise.
template <class A>
struct AddNumber {
  static constexpr const char* name = "add_scalar";
  A offset;
  TRIREME_HD A value(A x) const { return x + offset; }
};
/// Keeps its output.
struct Exp {
  static constexpr const char *name = "exp", *gradient_name = "exp_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return exp_of(x);
  }
  template <class A>
  TRIREME_HD static A slope(A y) {
    return y;
  }
};
struct Log {
  static constexpr const char *name = "log", *gradient_name = "log_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return std::log(x);
  }
  template <class A>
  TRIREME_HD static A slope(A x) {
    return A{1} / x;
  }
};
/// Keeps its output.
struct Sqrt {
  static constexpr const char *name = "sqrt", *gradient_name = "sqrt_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return std::sqrt(x);
  }
  template <class A>
  TRIREME_HD static A slope(A y) {
    return A(0.5) / y;
  }
};
struct Square {
  static constexpr const char *name = "square", *gradient_name = "square_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return x * x;
  }
  template <class A>
  TRIREME_HD static A slope(A x) {
    return 2 * x;
  }
};
struct Abs {
  static constexpr const char *name = "abs", *gradient_name = "abs_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return std::fabs(x);
  }
  template <class A>
  TRIREME_HD static A slope(A x) {
    return x > 0 ? A{1} : (x < 0 ? A{-1} : A{0});
  }
};

}  // namespace trireme::kernels
