// Root mean square normalisation over the last dim and its gradients (Zhang, Sennrich 2019, arXiv:1910.07467).
//   xhat = x * rstd,  y = xhat * gain,  rstd = 1 / sqrt(mean(x^2) + epsilon)
#pragma once

#include <cmath>

#include "core/kernels/layer_norm.hpp"

namespace trireme::kernels {

/// A row kernel. Shapes: x, y (rows, features); gain (features); rstd (rows), kept for the gradients. y may equal x.
/// With a residual (rows, features) the sum x + residual is written to `sum`, and normalised.
template <class T>
struct RmsNormForward {
  static constexpr const char* name = "rms_norm";
  const T* x;
  const T* gain;
  T* y;
  Accum<T>* rstd;
  std::int64_t features;
  Accum<T> epsilon;
  const T* residual = nullptr;
  T* sum = nullptr;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const std::int64_t first = row * features;
    if (residual) add_residual<T>(team, {x + first, residual + first, sum + first, features});
    const T* in = (residual ? sum : x) + first;
    T* out = y + first;

    Pack<A, lane_width<T, Team>> squares;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(in + c, width);
      for (int k = 0; k < width; ++k) squares[k] += v[k] * v[k];
    });
    const A scale = 1 / std::sqrt(team.sum(squares.sum()) / static_cast<A>(features) + epsilon);

    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(in + c, width);
      const auto g = load(gain + c, width);
      for (int k = 0; k < width; ++k) v[k] = v[k] * scale * g[k];
      store(out + c, v);
    });
    if (team.lane() == 0) rstd[row] = scale;
  }
};

/// A row kernel: dx = beta * dx + rstd * (h - xhat * mean(h * xhat)) with h = dy * gain.
template <class T>
struct RmsNormInputGradient {
  static constexpr const char* name = "rms_norm_gradient";
  const T* x;
  const T* gain;
  const T* dy;
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
    const A scale = rstd[row];

    Pack<A, lane_width<T, Team>> products;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(in + c, width), g = load(gain + c, width);
      auto h = load(gradient + c, width);
      for (int k = 0; k < width; ++k) products[k] += h[k] * g[k] * v[k] * scale;
    });
    const A along = team.sum(products.sum()) / static_cast<A>(features);

    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(in + c, width), g = load(gain + c, width);
      auto h = load(gradient + c, width);
      for (int k = 0; k < width; ++k) h[k] = scale * (h[k] * g[k] - v[k] * scale * along);
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(out) + c, width);
        for (int k = 0; k < width; ++k) h[k] += beta * old[k];
      }
      store(out + c, h);
    });
  }
};

/// A column kernel: the gradient of gain as partial sums of row stripes that ColumnFinish (reduce.hpp) joins. Shapes:
/// x, dy (rows, features); dgain (stripes, features).
template <class T>
struct RmsNormGainGradient {
  static constexpr const char* name = "rms_norm_gain_gradient";
  static constexpr int serial_pack = serial_width<T>;
  const T* x;
  const T* dy;
  const Accum<T>* rstd;
  Accum<T>* dgain;
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
    Pack<Accum<T>, W{}> total;
    for (std::int64_t row = first; row < last; ++row) {
      const auto g = load(dy + row * features + c, width), v = load(x + row * features + c, width);
      const Accum<T> scale = rstd[row];
      for (int k = 0; k < W{}; ++k) total[k] += g[k] * v[k] * scale;
    }
    store(dgain + stripe * features + c, total);
  }
};

}  // namespace trireme::kernels
