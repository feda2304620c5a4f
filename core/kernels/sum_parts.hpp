// Sums of several vectors that lie one after the other, for types that are too coarse to add up in: made in f32, in
// order, and rounded once.
#pragma once

#include "core/kernels/team.hpp"

namespace trireme::kernels {

/// y[i] = x[i] + x[n + i] + x[2n + i] + ..., `parts` terms in this order; y may be x.
template <class T>
struct SumParts {
  static constexpr const char* name = "sum_parts";
  static constexpr int pack = pack_width<T>;
  const T* x;
  T* y;
  std::int64_t parts, n;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    auto total = load(x + i, width);
    for (std::int64_t part = 1; part < parts; ++part) {
      const auto more = load(x + part * n + i, width);
      for (int k = 0; k < width; ++k) total[k] += more[k];
    }
    store(y + i, total);
  }
};

}  // namespace trireme::kernels
