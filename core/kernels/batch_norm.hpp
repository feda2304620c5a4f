// Normalisation over rows (Ioffe and Szegedy 2015, arXiv:1502.03167) and its gradient, for x (rows, features):
//   xhat = (x - mean) rstd,  y = xhat gain + bias,  dx = gain rstd (dy - mean(dy) - xhat mean(dy xhat))
// The statistics are taken in two passes (mean first, then centred squares), with f64 totals, so f32 input loses
// nothing to cancellation. Column kernels write partial sums per row stripe; ColumnTotal adds them in order.
#pragma once

#include <cmath>

#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// Calls f(c, width) for the columns of a tile, in the widest packs that fit.
template <class T, class Team, class F>
TRIREME_HD void for_each_column(const Team& team, std::int64_t tile, std::int64_t features, F&& f) {
  constexpr int wide = lane_width<T, Team>, narrow = pack_width<T>;
  std::int64_t c = (tile * team.lanes() + team.lane()) * wide;
  const std::int64_t end = c + wide < features ? c + wide : features;
  if (c + wide == end) return f(c, Width<wide>{});
  for (; c + narrow <= end; c += narrow) f(c, Width<narrow>{});
  for (; c < end; ++c) f(c, Width<1>{});
}

/// partial (stripes, features): sums over a stripe of (x - mean)^2.
template <class T>
struct CentredSquares {
  static constexpr const char* name = "centred_squares";
  static constexpr int serial_pack = serial_width<T>;
  const T* x;
  const Accum<T>* mean;
  Accum<T>* partial;
  std::int64_t rows, features, stripe_rows;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t stripe, std::int64_t tile) const {
    for_each_column<T>(team, tile, features, [&](std::int64_t c, auto width) {
      constexpr int n = decltype(width){};
      const std::int64_t first = stripe * stripe_rows;
      const std::int64_t last = first + stripe_rows < rows ? first + stripe_rows : rows;
      const auto center = load(mean + c, width);
      Pack<Accum<T>, n> total;
      for (std::int64_t row = first; row < last; ++row) {
        const auto v = load(x + row * features + c, width);
        for (int k = 0; k < n; ++k) total[k] += (v[k] - center[k]) * (v[k] - center[k]);
      }
      store(partial + stripe * features + c, total);
    });
  }
};

/// partial (2, stripes, features): sums over a stripe of dy and of dy xhat.
template <class T>
struct NormGradientSums {
  static constexpr const char* name = "norm_gradient_sums";
  static constexpr int serial_pack = serial_width<T>;
  const T* x;
  const T* dy;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  Accum<T>* partial;
  std::int64_t rows, features, stripe_rows, stripes;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t stripe, std::int64_t tile) const {
    for_each_column<T>(team, tile, features, [&](std::int64_t c, auto width) {
      constexpr int n = decltype(width){};
      const std::int64_t first = stripe * stripe_rows;
      const std::int64_t last = first + stripe_rows < rows ? first + stripe_rows : rows;
      const auto center = load(mean + c, width), scale = load(rstd + c, width);
      Pack<Accum<T>, n> plain, weighted;
      for (std::int64_t row = first; row < last; ++row) {
        const auto v = load(x + row * features + c, width), g = load(dy + row * features + c, width);
        for (int k = 0; k < n; ++k) plain[k] += g[k];
        for (int k = 0; k < n; ++k) weighted[k] += g[k] * (v[k] - center[k]) * scale[k];
      }
      store(partial + stripe * features + c, plain);
      store(partial + (stripes + stripe) * features + c, weighted);
    });
  }
};

/// An element kernel over features: total[c] = the sum of partial[s, c] over stripes, in f64 and in order.
template <class T>
struct ColumnTotal {
  static constexpr const char* name = "column_total";
  static constexpr int pack = 1;
  const Accum<T>* partial;
  double* total;
  std::int64_t stripes, features;
  template <class W>
  TRIREME_HD void operator()(std::int64_t c, W) const {
    double sum = 0;
    for (std::int64_t s = 0; s < stripes; ++s) sum += static_cast<double>(partial[s * features + c]);
    total[c] = sum;
  }
};

/// An element kernel: out[i] = total[i] / count, or 1 / sqrt(total[i] / count + epsilon) when `root` is 1.
template <class T>
struct Statistic {
  static constexpr const char* name = "statistic";
  static constexpr int pack = 1;
  const double* total;
  Accum<T>* out;
  double count, epsilon;
  int root;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    const double mean = total[i] / count;
    out[i] = static_cast<Accum<T>>(root ? 1 / std::sqrt(mean + epsilon) : mean);
  }
};

/// An element kernel over features: y[c] = keep y[c] + take (the sum over groups of total[g, c]).
template <class T>
struct GroupTotals {
  static constexpr const char* name = "group_totals";
  static constexpr int pack = 1;
  const double* total;
  T* y;
  std::int64_t groups, features;
  double keep, take;
  template <class W>
  TRIREME_HD void operator()(std::int64_t c, W) const {
    double sum = 0;
    for (std::int64_t g = 0; g < groups; ++g) sum += total[g * features + c];
    y[c] = static_cast<T>((keep == 0 ? 0 : keep * static_cast<double>(y[c])) + take * sum);
  }
};

/// A row kernel: y = (x - mean) rstd gain + bias.
template <class T>
struct NormForward {
  static constexpr const char* name = "batch_norm";
  const T* x;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  const T* gain;
  const T* bias;
  T* y;
  std::int64_t features;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(x + row * features + c, width);
      const auto center = load(mean + c, width), scale = load(rstd + c, width);
      const auto g = load(gain + c, width), b = load(bias + c, width);
      for (int k = 0; k < width; ++k) v[k] = (v[k] - center[k]) * scale[k] * g[k] + b[k];
      store(y + row * features + c, v);
    });
  }
};

/// A row kernel: dx = beta dx + gain rstd (dy - sums[0, c] / count - xhat sums[1, c] / count).
template <class T>
struct NormGradient {
  static constexpr const char* name = "batch_norm_gradient";
  const T* x;
  const T* dy;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  const T* gain;
  const Accum<T>* mean_dy;  // (features), already divided by the count
  const Accum<T>* mean_dy_xhat;
  T* dx;
  std::int64_t features;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(x + row * features + c, width);
      auto g = load(dy + row * features + c, width);
      const auto center = load(mean + c, width), scale = load(rstd + c, width), factor = load(gain + c, width);
      const auto a = load(mean_dy + c, width), b = load(mean_dy_xhat + c, width);
      for (int k = 0; k < width; ++k)
        g[k] = factor[k] * scale[k] * (g[k] - a[k] - (v[k] - center[k]) * scale[k] * b[k]);
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(dx) + row * features + c, width);
        for (int k = 0; k < width; ++k) g[k] += beta * old[k];
      }
      store(dx + row * features + c, g);
    });
  }
};

}  // namespace trireme::kernels
