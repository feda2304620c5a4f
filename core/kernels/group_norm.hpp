// Group normalisation of channels-last images and its gradients (Wu, He 2018, arXiv:1803.08494): mean and variance of
// each sample and group of channels; instance normalisation is that of groups of one channel.
//   xhat = (x - mean) * rstd,  y = xhat * gain + bias,  rstd = 1 / sqrt(var + epsilon)
#pragma once

#include <cmath>

#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// x is (samples, pixels, channels), in `groups` groups of neighbouring channels.
struct GroupExtents {
  std::int64_t pixels, channels, groups;
  TRIREME_HD std::int64_t each() const { return channels / groups; }
  TRIREME_HD std::int64_t elements() const { return pixels * each(); }

  /// Deals the elements of row (sample, group) to the lanes: f(position in x, channel).
  template <class Team, class F>
  TRIREME_HD void for_each(const Team& team, std::int64_t row, const F& f) const {
    const std::int64_t width = each(), first = row % groups * width;
    const std::int64_t begin = row / groups * pixels * channels + first;
    const std::int64_t pixel_step = team.lanes() / width, channel_step = team.lanes() % width;
    std::int64_t pixel = team.lane() / width, c = team.lane() % width;
    while (pixel < pixels) {
      f(begin + pixel * channels + c, first + c);
      pixel += pixel_step;
      c += channel_step;
      if (c >= width) {
        c -= width;
        ++pixel;
      }
    }
  }
};

/// A row kernel over samples * groups. gain and bias (channels) may both be null; mean, rstd (samples * groups) are
/// kept for the gradients.
template <class T>
struct GroupNormForward {
  static constexpr const char* name = "group_norm";
  const T* x;
  const T* gain;
  const T* bias;
  T* y;
  Accum<T>* mean;
  Accum<T>* rstd;
  GroupExtents e;
  Accum<T> epsilon;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const A count = static_cast<A>(e.elements());
    A sum = 0;
    e.for_each(team, row, [&](std::int64_t i, std::int64_t) { sum += static_cast<A>(x[i]); });
    const A center = team.sum(sum) / count;
    A squares = 0;
    e.for_each(team, row, [&](std::int64_t i, std::int64_t) {
      const A v = static_cast<A>(x[i]) - center;
      squares += v * v;
    });
    const A scale = 1 / std::sqrt(team.sum(squares) / count + epsilon);
    e.for_each(team, row, [&](std::int64_t i, std::int64_t c) {
      A v = (static_cast<A>(x[i]) - center) * scale;
      if (gain != nullptr) v = v * static_cast<A>(gain[c]) + static_cast<A>(bias[c]);
      y[i] = static_cast<T>(v);
    });
    if (team.lane() == 0) {
      mean[row] = center;
      rstd[row] = scale;
    }
  }
};

/// A row kernel: dx = beta * dx + rstd * (h - mean(h) - xhat * mean(h * xhat)) with h = dy * gain.
template <class T>
struct GroupNormInputGradient {
  static constexpr const char* name = "group_norm_gradient";
  const T* x;
  const T* gain;
  const T* dy;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  T* dx;
  GroupExtents e;
  Accum<T> beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const A count = static_cast<A>(e.elements()), center = mean[row], scale = rstd[row];
    A sum = 0, product = 0;
    e.for_each(team, row, [&](std::int64_t i, std::int64_t c) {
      const A h = slope(i, c);
      sum += h;
      product += h * (static_cast<A>(x[i]) - center) * scale;
    });
    const A average = team.sum(sum) / count, along = team.sum(product) / count;
    e.for_each(team, row, [&](std::int64_t i, std::int64_t c) {
      A v = scale * (slope(i, c) - average - (static_cast<A>(x[i]) - center) * scale * along);
      if (beta != 0) v += beta * static_cast<A>(dx[i]);
      dx[i] = static_cast<T>(v);
    });
  }

 private:
  TRIREME_HD Accum<T> slope(std::int64_t i, std::int64_t c) const {
    const auto g = static_cast<Accum<T>>(dy[i]);
    return gain != nullptr ? g * static_cast<Accum<T>>(gain[c]) : g;
  }
};

/// A column kernel over the samples * pixels rows: gradients of gain and bias as partial sums (stripes, channels),
/// which ColumnFinish (reduce.hpp) joins.
template <class T>
struct GroupNormParameterGradient {
  static constexpr const char* name = "group_norm_parameter_gradient";
  static constexpr int serial_pack = serial_width<T>;
  const T* x;
  const T* dy;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  Accum<T>* dgain;
  Accum<T>* dbias;
  GroupExtents e;
  std::int64_t rows, stripe_rows;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t stripe, std::int64_t tile) const {
    for_each_column<T>(team, tile, e.channels, [&](std::int64_t c, auto width) { add_up(stripe, c, width); });
  }

 private:
  template <class W>
  TRIREME_HD void add_up(std::int64_t stripe, std::int64_t c, W width) const {
    const std::int64_t first = stripe * stripe_rows;
    const std::int64_t last = first + stripe_rows < rows ? first + stripe_rows : rows;
    Pack<Accum<T>, W{}> gain_sum, bias_sum;
    std::int64_t group[W{}];
    for (int k = 0; k < W{}; ++k) group[k] = (c + k) / e.each();
    for (std::int64_t row = first; row < last; ++row) {
      const auto g = load(dy + row * e.channels + c, width), v = load(x + row * e.channels + c, width);
      const std::int64_t at = row / e.pixels * e.groups;
      for (int k = 0; k < W{}; ++k) gain_sum[k] += g[k] * (v[k] - mean[at + group[k]]) * rstd[at + group[k]];
      for (int k = 0; k < W{}; ++k) bias_sum[k] += g[k];
    }
    store(dgain + stripe * e.channels + c, gain_sum);
    store(dbias + stripe * e.channels + c, bias_sum);
  }
};

}  // namespace trireme::kernels
