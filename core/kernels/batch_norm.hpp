// Batch normalisation per channel over groups of rows (Ioffe and Szegedy 2015, arXiv:1502.03167), forward and
// gradients.
//   xhat = (x - mean) * rstd,  y = xhat * gain + bias,  rstd = 1 / sqrt(var + epsilon)
// Statistics are moments of pieces (a row of 1 + 2 * channels f64: count, means, sums of squared distances from the
// mean) that are joined in a fixed order by Chan, Golub and LeVeque's formula (1979), first stripes of rows, then parts
// of a split batch: nothing is ever the small difference of two large sums.
#pragma once

#include <cmath>

#include "core/kernels/simd.hpp"
#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// Rows of a batch: `groups` groups of `group_rows` rows, each cut into `stripes` bands of `stripe_rows` (the last
/// shorter).
struct NormExtents {
  std::int64_t groups, group_rows, channels;
  std::int64_t stripes, stripe_rows;
  TRIREME_HD std::int64_t piece() const { return 1 + 2 * channels; }
  TRIREME_HD std::int64_t first_row(std::int64_t stripe) const {
    return stripe / stripes * group_rows + stripe % stripes * stripe_rows;
  }
  TRIREME_HD std::int64_t rows_in(std::int64_t stripe) const {
    const std::int64_t rest = group_rows - stripe % stripes * stripe_rows;
    return rest < stripe_rows ? rest : stripe_rows;
  }
};

/// A column kernel over groups * stripes bands: their moments. Shapes: x (rows, channels); pieces (bands, piece()).
template <class T>
struct BatchNormMoments {
  static constexpr const char* name = "batch_norm_moments";
  static constexpr int serial_pack = serial_width<T>;
  const T* x;
  double* pieces;
  NormExtents e;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t stripe, std::int64_t tile) const {
    if (tile == 0 && team.lane() == 0) pieces[stripe * e.piece()] = static_cast<double>(e.rows_in(stripe));
    for_each_column<T>(team, tile, e.channels, [&](std::int64_t c, auto width) { band(stripe, c, width); });
  }

 private:
  template <class W>
  TRIREME_HD void band(std::int64_t stripe, std::int64_t c, W width) const {
    using A = Accum<T>;
    const T* in = x + e.first_row(stripe) * e.channels + c;
    const std::int64_t rows = e.rows_in(stripe);
    Vec<A, W{}> sum, off_sum, squares;
    for (std::int64_t r = 0; r < rows; ++r)
      sum = map([](auto total, auto v) { return total + v; }, sum, load_vec(in + r * e.channels, width));
    const auto center = map([rows](auto total) { return total / static_cast<A>(rows); }, sum);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto d = map([](auto v, auto m) { return v - m; }, load_vec(in + r * e.channels, width), center);
      off_sum = map([](auto total, auto v) { return total + v; }, off_sum, d);  // what rounding left of the mean
      squares = map([](auto total, auto v) { return total + v * v; }, squares, d);
    }
    A middle[W{}], distance[W{}], square[W{}];
    store_vec(static_cast<A*>(middle), center);
    store_vec(static_cast<A*>(distance), off_sum);
    store_vec(static_cast<A*>(square), squares);
    double* mean = pieces + stripe * e.piece() + 1 + c;
    for (int k = 0; k < W{}; ++k) {
      const auto off = static_cast<double>(distance[k]), n = static_cast<double>(rows);
      const double rest = static_cast<double>(square[k]) - off * off / n;
      mean[k] = static_cast<double>(middle[k]) + off / n;
      mean[e.channels + k] = rest > 0 || rest != rest ? rest : 0;
    }
  }
};

/// Element i = (group, channel): joins the moments of `each` consecutive pieces into one piece per group. Shapes:
/// pieces (groups * each, piece()); joined (groups, piece()).
struct BatchNormJoin {
  static constexpr const char* name = "batch_norm_join";
  static constexpr int pack = 1;
  const double* pieces;
  double* joined;
  std::int64_t channels, each;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    const std::int64_t group = i / channels, c = i % channels, piece = 1 + 2 * channels;
    const double* from = pieces + group * each * piece;
    double count = 0, mean = 0, squares = 0;
    for (std::int64_t p = 0; p < each; ++p, from += piece) {
      const double more = from[0];
      if (more == 0) continue;
      const double total = count + more, step = from[1 + c] - mean;
      mean += step * more / total;
      squares += from[1 + channels + c] + step * step * count * more / total;
      count = total;
    }
    double* to = joined + group * piece;
    if (c == 0) to[0] = count;
    to[1 + c] = mean;
    to[1 + channels + c] = squares;
  }
};

/// Element i = (group, channel): what normalising needs. Shapes: joined (groups, piece()); mean, rstd (groups,
/// channels).
template <class T>
struct BatchNormFinish {
  static constexpr const char* name = "batch_norm_finish";
  static constexpr int pack = 1;
  const double* joined;
  Accum<T>* mean;
  Accum<T>* rstd;
  std::int64_t channels;
  double epsilon;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    const std::int64_t c = i % channels;
    const double* from = joined + i / channels * (1 + 2 * channels);
    mean[i] = static_cast<Accum<T>>(from[1 + c]);
    rstd[i] = static_cast<Accum<T>>(1 / std::sqrt(from[1 + channels + c] / from[0] + epsilon));
  }
};

/// Element c: sums over groups for the running statistics. total (piece()): number of groups, sums of their means, sums
/// of their unbiased variances.
struct BatchNormTotals {
  static constexpr const char* name = "batch_norm_totals";
  static constexpr int pack = 1;
  const double* joined;
  double* total;
  std::int64_t channels, groups;
  template <class W>
  TRIREME_HD void operator()(std::int64_t c, W) const {
    double means = 0, variances = 0;
    const double* from = joined;
    for (std::int64_t g = 0; g < groups; ++g, from += 1 + 2 * channels) {
      means += from[1 + c];
      variances += from[1 + channels + c] / (from[0] > 1 ? from[0] - 1 : 1);
    }
    if (c == 0) total[0] = static_cast<double>(groups);
    total[1 + c] = means;
    total[1 + channels + c] = variances;
  }
};

/// Element c: running = (1 - momentum) * running + momentum * average over the groups. Statistics are f32 or f64.
template <class T>
struct BatchNormRunning {
  static constexpr const char* name = "batch_norm_running";
  static constexpr int pack = 1;
  const double* total;
  T* mean;
  T* variance;
  std::int64_t channels;
  double momentum;
  template <class W>
  TRIREME_HD void operator()(std::int64_t c, W) const {
    const double fresh_mean = total[1 + c] / total[0], fresh_variance = total[1 + channels + c] / total[0];
    // One batch that is not finite must not spoil the statistics for ever; totals are equal in all parts.
    if (!(std::abs(fresh_mean) <= largest) || !(fresh_variance <= largest)) return;
    mean[c] = mixed(mean[c], fresh_mean);
    variance[c] = mixed(variance[c], fresh_variance);
  }

 private:
  static constexpr double largest = sizeof(T) == 8 ? 1.7976931348623157e308 : 3.4028234663852886e38;
  TRIREME_HD T mixed(T old, double fresh) const {
    return static_cast<T>((1 - momentum) * static_cast<double>(old) + momentum * fresh);
  }
};

/// Element c: what normalising by running statistics needs.
template <class T>
struct BatchNormFixed {
  static constexpr const char* name = "batch_norm_fixed";
  static constexpr int pack = 1;
  const T* running_mean;
  const T* running_variance;
  Accum<T>* mean;
  Accum<T>* rstd;
  double epsilon;
  template <class W>
  TRIREME_HD void operator()(std::int64_t c, W) const {
    mean[c] = static_cast<Accum<T>>(running_mean[c]);
    rstd[c] = static_cast<Accum<T>>(1 / std::sqrt(static_cast<double>(running_variance[c]) + epsilon));
  }
};

/// A row kernel: y = (x - mean) * rstd * gain + bias, then relu where wanted. mean, rstd (groups, channels).
template <class T>
struct BatchNormForward {
  static constexpr const char* name = "batch_norm";
  const T* x;
  const T* gain;
  const T* bias;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  T* y;
  std::int64_t group_rows, channels;
  std::uint32_t relu;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* in = x + row * channels;
    T* out = y + row * channels;
    const std::int64_t group = row / group_rows * channels;
    for_each_wide<T>(team, channels, [&](std::int64_t c, auto width) {
      const auto normed = [](auto v, auto m, auto r, auto g, auto b) { return (v - m) * (r * g) + b; };
      auto v = map(normed, load_vec(in + c, width), load_vec(mean + group + c, width),
                   load_vec(rstd + group + c, width), load_vec(gain + c, width), load_vec(bias + c, width));
      if (relu != 0) v = map([](auto o) { return o < decltype(o){} ? decltype(o){} : o; }, v);
      store_vec(out + c, v);
    });
  }
};

/// A column kernel over groups * stripes bands: the sums of dy and of dy * xhat. With `y` (after a fused relu) dy
/// counts where y is positive. sums (bands, 2 * channels).
template <class T>
struct BatchNormGradientSums {
  static constexpr const char* name = "batch_norm_gradient_sums";
  static constexpr int serial_pack = serial_width<T>;
  const T* x;
  const T* dy;
  const T* y;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  double* sums;
  NormExtents e;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t stripe, std::int64_t tile) const {
    for_each_column<T>(team, tile, e.channels, [&](std::int64_t c, auto width) { band(stripe, c, width); });
  }

 private:
  template <class W>
  TRIREME_HD void band(std::int64_t stripe, std::int64_t c, W width) const {
    using A = Accum<T>;
    const std::int64_t group = stripe / e.stripes * e.channels + c, rows = e.rows_in(stripe);
    const auto m = load_vec(mean + group, width);
    const std::int64_t first = e.first_row(stripe) * e.channels + c;
    Vec<A, W{}> total, along;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t at = first + r * e.channels;
      auto g = load_vec(dy + at, width);
      if (y != nullptr) g = where_positive(load_vec(y + at, width), g);
      total = map([](auto sum, auto d) { return sum + d; }, total, g);
      along = map([](auto sum, auto d, auto v, auto mid) { return sum + d * (v - mid); }, along, g,
                  load_vec(x + at, width), m);
    }
    A sum[W{}], product[W{}];
    store_vec(static_cast<A*>(sum), total);
    store_vec(static_cast<A*>(product), along);
    double* to = sums + stripe * 2 * e.channels + c;
    for (int k = 0; k < W{}; ++k) {
      to[k] = static_cast<double>(sum[k]);
      to[e.channels + k] = static_cast<double>(product[k]) * static_cast<double>(rstd[group + k]);
    }
  }
};

/// Element i of (groups, 2 * channels): the sum over each group's `stripes` bands, in order.
struct BatchNormJoinSums {
  static constexpr const char* name = "batch_norm_join_sums";
  static constexpr int pack = 1;
  const double* sums;
  double* joined;
  std::int64_t channels, stripes;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    const double* from = sums + i / (2 * channels) * stripes * 2 * channels + i % (2 * channels);
    double total = 0;
    for (std::int64_t s = 0; s < stripes; ++s) total += from[s * 2 * channels];
    joined[i] = total;
  }
};

/// Element c: the gradient of bias (offset 0) or gain (offset channels): d = beta * d + the sum over groups.
template <class T>
struct BatchNormParameterGradient {
  static constexpr const char* name = "batch_norm_parameter_gradient";
  static constexpr int pack = 1;
  const double* joined;
  T* gradient;
  std::int64_t channels, groups, offset;
  Accum<T> beta;
  template <class W>
  TRIREME_HD void operator()(std::int64_t c, W) const {
    double total = 0;
    for (std::int64_t g = 0; g < groups; ++g) total += joined[g * 2 * channels + offset + c];
    if (beta != 0) total += static_cast<double>(beta) * static_cast<double>(gradient[c]);
    gradient[c] = static_cast<T>(total);
  }
};

/// Element i = (group, channel): average = mean of dy, along = rstd * mean of dy * xhat, both (groups, channels), over
/// the group's rows in all parts. `moments` (groups, piece()) says how many these are.
template <class T>
struct BatchNormCoefficients {
  static constexpr const char* name = "batch_norm_coefficients";
  static constexpr int pack = 1;
  const double* joined;
  const double* moments;
  const Accum<T>* rstd;
  Accum<T>* average;
  Accum<T>* along;
  std::int64_t channels;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    const std::int64_t group = i / channels, c = i % channels;
    const double* from = joined + group * 2 * channels + c;
    const double count = moments[group * (1 + 2 * channels)];
    average[i] = static_cast<Accum<T>>(from[0] / count);
    along[i] = static_cast<Accum<T>>(from[channels] / count * static_cast<double>(rstd[i]));
  }
};

/// A row kernel: dx = beta * dx + gain * rstd * (dy - average - (x - mean) * along).
template <class T>
struct BatchNormInputGradient {
  static constexpr const char* name = "batch_norm_gradient";
  const T* x;
  const T* dy;
  const T* y;  ///< With a fused relu, else null.
  const T* gain;
  const Accum<T>* mean;
  const Accum<T>* rstd;
  const Accum<T>* average;
  const Accum<T>* along;
  T* dx;
  std::int64_t group_rows, channels;
  Accum<T> beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t first = row * channels, group = row / group_rows * channels;
    for_each_wide<T>(team, channels, [&](std::int64_t c, auto width) {
      auto g = load_vec(dy + first + c, width);
      if (y != nullptr) g = where_positive(load_vec(y + first + c, width), g);
      g = map([](auto d, auto mid) { return d - mid; }, g, load_vec(average + group + c, width));
      g = map([](auto d, auto v, auto m, auto slope) { return d - (v - m) * slope; }, g, load_vec(x + first + c, width),
              load_vec(mean + group + c, width), load_vec(along + group + c, width));
      g = map([](auto d, auto f, auto r) { return d * (f * r); }, g, load_vec(gain + c, width),
              load_vec(rstd + group + c, width));
      store_vec(dx + first + c, plus_old(g, beta, static_cast<const T*>(dx + first + c)));
    });
  }
};

}  // namespace trireme::kernels
