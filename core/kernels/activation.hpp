// Activation functions for the kernels Map and MapGradient (elementwise.hpp).
#pragma once

#include "core/kernels/elementwise.hpp"

namespace trireme::kernels {

/// Keeps its output, which other layers mostly keep as their input too. NaN stays NaN.
struct Relu {
  static constexpr const char *name = "relu", *gradient_name = "relu_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return x < 0 ? A{0} : x;
  }
  template <class A>
  TRIREME_HD static A slope(A y) {
    return select(y > 0, A{1}, A{0});
  }
};

/// x Phi(x); slope Phi(x) + x phi(x). Keeps its input.
struct GeluErf {
  static constexpr const char *name = "gelu", *gradient_name = "gelu_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return x * normal_cdf(x);
  }
  template <class A>
  TRIREME_HD static A slope(A x) {
    return normal_cdf(x) + x * A(0.3989422804014327) * exp_of(A(-0.5) * x * x);
  }
};

/// x (1 + tanh(u)) / 2 = x sigmoid(2 u) with 2 u = sqrt(8 / pi) (x + 0.044715 x^3). Keeps its input.
struct GeluTanh {
  static constexpr const char *name = "gelu_tanh_fit", *gradient_name = "gelu_tanh_fit_gradient";
  template <class A>
  TRIREME_HD static A twice_u(A x) {
    return A(1.5957691216057308) * x * (1 + A(0.044715) * x * x);
  }
  template <class A>
  TRIREME_HD static A value(A x) {
    return x * sigmoid_of(twice_u(x));
  }
  template <class A>
  TRIREME_HD static A slope(A x) {
    const A s = sigmoid_of(twice_u(x));
    return s + x * s * (1 - s) * A(1.5957691216057308) * (1 + 3 * A(0.044715) * x * x);
  }
};

/// Keeps its output.
struct Tanh {
  static constexpr const char *name = "tanh", *gradient_name = "tanh_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return tanh_of(x);
  }
  template <class A>
  TRIREME_HD static A slope(A y) {
    return 1 - y * y;
  }
};

/// Keeps its output.
struct Sigmoid {
  static constexpr const char *name = "sigmoid", *gradient_name = "sigmoid_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return sigmoid_of(x);
  }
  template <class A>
  TRIREME_HD static A slope(A y) {
    return y * (1 - y);
  }
};

/// Keeps its input.
struct Silu {
  static constexpr const char *name = "silu", *gradient_name = "silu_gradient";
  template <class A>
  TRIREME_HD static A value(A x) {
    return x * sigmoid_of(x);
  }
  template <class A>
  TRIREME_HD static A slope(A x) {
    const A s = sigmoid_of(x);
    return s * (1 + x * (1 - s));
  }
};

}  // namespace trireme::kernels
