// Small element kernels that the tape itself needs: setting a gradient's seed and adding a second contribution.
#pragma once

#include "core/kernels/team.hpp"

namespace trireme::kernels {

/// y[i] = value.
template <class T>
struct Fill {
  static constexpr const char* name = "fill";
  static constexpr int pack = pack_width<T>;
  T* y;
  Accum<T> value;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    Pack<Accum<T>, W{}> out;
    for (int k = 0; k < W{}; ++k) out[k] = value;
    store(y + i, out);
  }
};

/// y[i] = beta * y[i] + alpha * x[i]; y is not read when beta is 0.
template <class T>
struct AddScaled {
  static constexpr const char* name = "add_scaled";
  static constexpr int pack = pack_width<T>;
  const T* x;
  T* y;
  Accum<T> alpha, beta;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    auto v = load(x + i, width);
    for (int k = 0; k < width; ++k) v[k] *= alpha;
    if (beta != 0) {
      const auto old = load(static_cast<const T*>(y) + i, width);
      for (int k = 0; k < width; ++k) v[k] += beta * old[k];
    }
    store(y + i, v);
  }
};

}  // namespace trireme::kernels
