// Functions for the kernels Map and MapGradient (elementwise.hpp) that have numbers of their own. All keep their input.
#pragma once

#include "core/kernels/elementwise.hpp"

namespace trireme::kernels {

/// What a function is made with; which of them it uses is its own matter.
struct Numbers {
  double first = 0, second = 0;
};

/// x, or slope * x below 0. NaN stays NaN.
template <class A>
struct LeakyRelu {
  static constexpr const char *name = "leaky_relu", *gradient_name = "leaky_relu_gradient";
  A below;
  static LeakyRelu of(const Numbers& n) { return {static_cast<A>(n.first)}; }
  TRIREME_HD A value(A x) const { return x < 0 ? below * x : x; }
  TRIREME_HD A slope(A x) const { return x > 0 ? A{1} : below; }
};

/// log(1 + exp(x)), in a form that neither overflows nor loses small results.
template <class A>
struct Softplus {
  static constexpr const char *name = "softplus", *gradient_name = "softplus_gradient";
  static Softplus of(const Numbers&) { return {}; }
  TRIREME_HD A value(A x) const { return (x > 0 ? x : A{0}) + std::log1p(std::exp(-std::fabs(x))); }
  TRIREME_HD A slope(A x) const { return sigmoid_of(x); }
};

/// x to a fixed power.
template <class A>
struct Power {
  static constexpr const char *name = "power", *gradient_name = "power_gradient";
  A exponent;
  static Power of(const Numbers& n) { return {static_cast<A>(n.first)}; }
  TRIREME_HD A value(A x) const { return std::pow(x, exponent); }
  TRIREME_HD A slope(A x) const { return exponent == 0 ? A{0} : exponent * std::pow(x, exponent - 1); }
};

/// The nearest number of [low, high]; slope 1 inside and at the ends. NaN stays NaN.
template <class A>
struct Clamp {
  static constexpr const char *name = "clamp", *gradient_name = "clamp_gradient";
  A low, high;
  static Clamp of(const Numbers& n) { return {static_cast<A>(n.first), static_cast<A>(n.second)}; }
  TRIREME_HD A value(A x) const { return x < low ? low : (x > high ? high : x); }
  TRIREME_HD A slope(A x) const { return x < low || x > high ? A{0} : A{1}; }
};

}  // namespace trireme::kernels
