// Small element kernels that the tape itself needs: setting a gradient's seed, adding a second contribution, and
// changing the element type.
#pragma once

#include "core/kernels/simd.hpp"
#include "core/tape/step_state.hpp"

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

/// Where backward begins: y[i] = value * the step's loss scale.
template <class T>
struct Seed {
  static constexpr const char* name = "seed";
  static constexpr int pack = 1;
  T* y;
  const StepState* state;
  double value;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    y[i] = static_cast<T>(static_cast<Accum<T>>(value * state->loss_scale));
  }
};

/// y[i] = beta * y[i] + alpha * x[i], rounded to To; y is not read when beta is 0.
template <class From, class To = From>
struct AddScaled {
  static constexpr const char* name = "add_scaled";
  static constexpr int pack = pack_width<From> < pack_width<To> ? pack_width<From> : pack_width<To>;
  static constexpr int serial_pack = serial_width<Accum<To>>;
  const From* x;
  To* y;
  Accum<To> alpha, beta;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    const auto v = map([factor = alpha](auto u) { return factor * u; }, load_vec(x + i, width));
    store_vec(y + i, plus_old(v, beta, static_cast<const To*>(y + i)));
  }
};

}  // namespace trireme::kernels
