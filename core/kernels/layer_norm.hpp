// Layer normalisation over the last dim and its gradients (Ba, Kiros, Hinton 2016, arXiv:1607.06450).
//   xhat = (x - mean) * rstd,  y = xhat * gain + bias,  rstd = 1 / sqrt(var + epsilon)
#pragma once

#include <cmath>

#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// One row of a residual sum.
template <class T>
struct ResidualRow {
  const T* x;
  const T* residual;
  T* sum;
  std::int64_t features;
};

/// sum = x + residual, and this lane's part of the sum of its elements. Later each lane reads back only what it wrote.
template <class T, class Team>
TRIREME_HD Accum<T> add_residual(const Team& team, const ResidualRow<T>& row) {
  Pack<Accum<T>, lane_width<T, Team>> totals;
  for_each_wide<T>(team, row.features, [&](std::int64_t c, auto width) {
    auto v = load(row.x + c, width);
    const auto r = load(row.residual + c, width);
    for (int k = 0; k < width; ++k) v[k] = static_cast<Accum<T>>(static_cast<T>(v[k] + r[k]));  // as it is read again
    for (int k = 0; k < width; ++k) totals[k] += v[k];
    store(row.sum + c, v);
  });
  return totals.sum();
}

/// A row kernel. Shapes: x, y (rows, features); gain, bias (features); mean, rstd (rows), kept for the gradients. y may
/// equal x. With a residual (rows, features) the sum x + residual is written to `sum`, and normalised.
template <class T>
struct LayerNormForward {
  static constexpr const char* name = "layer_norm";
  const T* x;
  const T* gain;
  const T* bias;
  T* y;
  Accum<T>* mean;
  Accum<T>* rstd;
  std::int64_t features;
  Accum<T> epsilon;
  const T* residual = nullptr;
  T* sum = nullptr;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const T* in = (residual ? sum : x) + row * features;
    T* out = y + row * features;
    const A center = team.sum(lane_total(team, row)) / static_cast<A>(features);

    Pack<A, lane_width<T, Team>> squares;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(in + c, width);
      for (int k = 0; k < width; ++k) squares[k] += (v[k] - center) * (v[k] - center);
    });
    const A scale = 1 / std::sqrt(team.sum(squares.sum()) / static_cast<A>(features) + epsilon);

    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(in + c, width);
      const auto g = load(gain + c, width), b = load(bias + c, width);
      for (int k = 0; k < width; ++k) v[k] = (v[k] - center) * scale * g[k] + b[k];
      store(out + c, v);
    });
    if (team.lane() == 0) {
      mean[row] = center;
      rstd[row] = scale;
    }
  }

 private:
  template <class Team>
  TRIREME_HD Accum<T> lane_total(const Team& team, std::int64_t row) const {
    const std::int64_t first = row * features;
    if (residual) return add_residual<T>(team, {x + first, residual + first, sum + first, features});
    Pack<Accum<T>, lane_width<T, Team>> totals;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(x + first + c, width);
      for (int k = 0; k < width; ++k) totals[k] += v[k];
    });
    return totals.sum();
  }
};

/// A row kernel: dx = beta * dx + rstd * (h - mean(h) - xhat * mean(h * xhat)) with h = dy * gain.
template <class T>
struct LayerNormInputGradient {
  static constexpr const char* name = "layer_norm_gradient";
  const T* x;
  const T* gain;
  const T* dy;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  T* dx;
  std::int64_t features;
  Accum<T> beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const T* in = x + row * features;
    const T* gradient = dy + row * features;
    T* out = dx + row * features;
    const A center = mean[row], scale = rstd[row], count = static_cast<A>(features);

    Pack<A, lane_width<T, Team>> sums, products;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(in + c, width), g = load(gain + c, width);
      auto h = load(gradient + c, width);
      for (int k = 0; k < width; ++k) h[k] *= g[k];
      for (int k = 0; k < width; ++k) sums[k] += h[k];
      for (int k = 0; k < width; ++k) products[k] += h[k] * (v[k] - center) * scale;
    });
    const A average = team.sum(sums.sum()) / count, along = team.sum(products.sum()) / count;

    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(in + c, width), g = load(gain + c, width);
      auto h = load(gradient + c, width);
      for (int k = 0; k < width; ++k) h[k] = scale * (h[k] * g[k] - average - (v[k] - center) * scale * along);
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(out) + c, width);
        for (int k = 0; k < width; ++k) h[k] += beta * old[k];
      }
      store(out + c, h);
    });
  }
};

/// A column kernel: gradients of gain and bias, as partial sums of row stripes that ColumnFinish (reduce.hpp) joins.
/// Shapes: x, dy (rows, features); dgain, dbias (stripes, features).
template <class T>
struct LayerNormParameterGradient {
  static constexpr const char* name = "layer_norm_parameter_gradient";
  static constexpr int serial_pack = serial_width<T>;
  const T* x;
  const T* dy;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  Accum<T>* dgain;
  Accum<T>* dbias;
  std::int64_t rows, features, stripe_rows;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t stripe, std::int64_t tile) const {
    for_each_column<T>(team, tile, features, [&](std::int64_t c, auto width) { add_up(stripe, c, width); });
  }

 private:
  template <class W>
  TRIREME_HD void add_up(std::int64_t stripe, std::int64_t c, W width) const {
    const std::int64_t first = stripe * stripe_rows;
    const std::int64_t last = first + stripe_rows < rows ? first + stripe_rows : rows;
    Pack<Accum<T>, W{}> gain_sum, bias_sum;
    for (std::int64_t row = first; row < last; ++row) {
      const auto g = load(dy + row * features + c, width), v = load(x + row * features + c, width);
      const Accum<T> center = mean[row], scale = rstd[row];
      for (int k = 0; k < W{}; ++k) gain_sum[k] += g[k] * (v[k] - center) * scale;
      for (int k = 0; k < W{}; ++k) bias_sum[k] += g[k];
    }
    store(dgain + stripe * features + c, gain_sum);
    store(dbias + stripe * features + c, bias_sum);
  }
};

}  // namespace trireme::kernels
