// The gated unit of Shazeer 2020 (arXiv:2002.05202) with SiLU: y = silu(gate) * up, where a row holds gate, then up.
#pragma once

#include "core/kernels/math.hpp"
#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// A row kernel: x (rows, 2 * features) -> y (rows, features).
template <class T>
struct GatedSilu {
  static constexpr const char* name = "gated_silu";
  const T* x;
  T* y;
  std::int64_t features;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* gate = x + row * 2 * features;
    const T* up = gate + features;
    T* out = y + row * features;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(gate + c, width);
      const auto u = load(up + c, width);
      for (int k = 0; k < width; ++k) v[k] = v[k] * sigmoid_of(v[k]) * u[k];
      store(out + c, v);
    });
  }
};

/// A row kernel: dx = beta * dx + the gradient of both halves of x; what depends on x is computed again.
template <class T>
struct GatedSiluGradient {
  static constexpr const char* name = "gated_silu_gradient";
  const T* x;
  const T* dy;
  T* dx;
  std::int64_t features;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* gate = x + row * 2 * features;
    const T* gradient = dy + row * features;
    T* out = dx + row * 2 * features;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto g = load(gradient + c, width);
      auto of_gate = load(gate + c, width), of_up = load(gate + features + c, width);
      for (int k = 0; k < width; ++k) {
        const Accum<T> v = of_gate[k], s = sigmoid_of(v);
        of_gate[k] = g[k] * of_up[k] * s * (1 + v * (1 - s));
        of_up[k] = g[k] * v * s;
      }
      add_old(out + c, of_gate, width);
      add_old(out + features + c, of_up, width);
    });
  }

 private:
  template <class P, class W>
  TRIREME_HD void add_old(T* p, P v, W width) const {
    if (beta != 0) {
      const auto old = load(static_cast<const T*>(p), width);
      for (int k = 0; k < width; ++k) v[k] += beta * old[k];
    }
    store(p, v);
  }
};

}  // namespace trireme::kernels
