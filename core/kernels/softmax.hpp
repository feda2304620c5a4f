// Softmax and log-softmax of rows and their gradients. All are row kernels over (rows, features).
#pragma once

#include <cmath>

#include "core/kernels/math.hpp"
#include "core/kernels/reduce.hpp"

namespace trireme::kernels {

/// This lane's part of the sum of exp(in[c] - top), by blocks, so that a long row keeps its precision in f32.
template <class T, class Team>
TRIREME_HD Accum<T> lane_exp_sum(const Team& team, const T* in, std::int64_t n, Accum<T> top) {
  constexpr std::int64_t block = 2048;
  Accum<T> total = 0;
  for (std::int64_t first = 0; first < n; first += block) {
    Pack<Accum<T>, lane_width<T, Team>> totals;
    for_each_wide<T>(team, n - first < block ? n - first : block, [&](std::int64_t c, auto width) {
      auto v = load(in + first + c, width);
      for (int k = 0; k < width; ++k) v[k] = exp_of(v[k] - top);
      for (int k = 0; k < width; ++k) totals[k] += v[k];
    });
    total += totals.sum();
  }
  return total;
}

/// y = exp(x - max) / sum; y may equal x.
template <class T>
struct SoftmaxForward {
  static constexpr const char* name = "softmax";
  const T* x;
  T* y;
  std::int64_t features;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const T* in = x + row * features;
    T* out = y + row * features;
    const A top = team.max(ArgMax<T>::lane_max(team, in, features));
    Pack<A, lane_width<T, Team>> totals;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(in + c, width);
      for (int k = 0; k < width; ++k) v[k] = exp_of(v[k] - top);
      for (int k = 0; k < width; ++k) totals[k] += v[k];
      store(out + c, v);
    });
    const A factor = A{1} / team.sum(totals.sum());
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {  // every lane meets its own elements again
      auto v = load(static_cast<const T*>(out) + c, width);
      for (int k = 0; k < width; ++k) v[k] *= factor;
      store(out + c, v);
    });
  }
};

/// y = x - (max + log(sum)); y may equal x.
template <class T>
struct LogSoftmaxForward {
  static constexpr const char* name = "log_softmax";
  const T* x;
  T* y;
  std::int64_t features;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const T* in = x + row * features;
    T* out = y + row * features;
    const A top = team.max(ArgMax<T>::lane_max(team, in, features));
    const A log_sum = std::log(team.sum(lane_exp_sum(team, in, features, top)));
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(in + c, width);
      for (int k = 0; k < width; ++k) v[k] = (v[k] - top) - log_sum;
      store(out + c, v);
    });
  }
};

/// dx = beta * dx + y * (dy - sum(dy * y)).
template <class T>
struct SoftmaxGradient {
  static constexpr const char* name = "softmax_gradient";
  const T* y;
  const T* dy;
  T* dx;
  std::int64_t features;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* output = y + row * features;
    const T* gradient = dy + row * features;
    T* out = dx + row * features;
    Pack<Accum<T>, lane_width<T, Team>> totals;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(output + c, width), g = load(gradient + c, width);
      for (int k = 0; k < width; ++k) totals[k] += v[k] * g[k];
    });
    const Accum<T> dot = team.sum(totals.sum());
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(output + c, width);
      const auto g = load(gradient + c, width);
      for (int k = 0; k < width; ++k) v[k] *= g[k] - dot;
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(out) + c, width);
        for (int k = 0; k < width; ++k) v[k] += beta * old[k];
      }
      store(out + c, v);
    });
  }
};

/// dx = beta * dx + dy - exp(y) * sum(dy).
template <class T>
struct LogSoftmaxGradient {
  static constexpr const char* name = "log_softmax_gradient";
  const T* y;
  const T* dy;
  T* dx;
  std::int64_t features;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* output = y + row * features;
    const T* gradient = dy + row * features;
    T* out = dx + row * features;
    Pack<Accum<T>, lane_width<T, Team>> totals;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto g = load(gradient + c, width);
      for (int k = 0; k < width; ++k) totals[k] += g[k];
    });
    const Accum<T> total = team.sum(totals.sum());
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(output + c, width);
      const auto g = load(gradient + c, width);
      for (int k = 0; k < width; ++k) v[k] = g[k] - exp_of(v[k]) * total;
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(out) + c, width);
        for (int k = 0; k < width; ++k) v[k] += beta * old[k];
      }
      store(out + c, v);
    });
  }
};

}  // namespace trireme::kernels
