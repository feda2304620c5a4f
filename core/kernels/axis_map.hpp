// A fixed linear map along one dim, by a table of taps: padding of every mode and resizing of images are two such maps,
// one along the height and one along the width, and their gradients are the transposed maps. Each element is summed
// alone, in the order of its taps.
#pragma once

#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// What element j of the result is made of: weight[k] times element source[k] for k in [start[j], start[j + 1]).
struct Taps {
  const std::int32_t* start;
  const std::int32_t* source;
  const double* weight;
};

/// A row kernel over outer * to rows: x is (outer, from, inner), y (outer, to, inner);
/// y[o, j, :] = beta * y[o, j, :] + the taps of j, or `outside` where it has none.
template <class T>
struct AxisMap {
  static constexpr const char* name = "axis_map";
  const T* x;
  T* y;
  Taps taps;
  std::int64_t from, to, inner;
  Accum<T> outside, beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const std::int64_t j = row % to;
    const T* in = x + row / to * from * inner;
    T* out = y + row * inner;
    const std::int32_t first = taps.start[j], last = taps.start[j + 1];
    for_each_wide<T>(team, inner, [&](std::int64_t i, auto width) {
      Pack<A, width> total;
      for (int k = 0; k < width; ++k) total[k] = first == last ? outside : A{0};
      for (std::int32_t tap = first; tap < last; ++tap) {
        const auto v = load(in + taps.source[tap] * inner + i, width);
        const A weight = static_cast<A>(taps.weight[tap]);
        for (int k = 0; k < width; ++k) total[k] += weight * v[k];
      }
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(out) + i, width);
        for (int k = 0; k < width; ++k) total[k] += beta * old[k];
      }
      store(out + i, total);
    });
  }
};

}  // namespace trireme::kernels
