// Losses of elements against targets, as sums over the elements of a row in f64, and their gradients; the multi-class
// hinge loss of rows against labels. The second pass over rows is CrossEntropyFinish (cross_entropy.hpp).
#pragma once

#include "core/kernels/number_functions.hpp"

namespace trireme::kernels {

/// What a loss of rows and its gradient share. row_totals is f64 (3, rows): weight * loss, weight * count_each, 0.
template <class T>
struct LossRows {
  const float* weights;  ///< (rows) or null. A row of weight 0 is not looked at.
  double* row_totals;
  std::int64_t rows, features;
  TRIREME_HD float weight(std::int64_t row) const { return weights ? weights[row] : 1.0f; }
  TRIREME_HD void write(std::int64_t row, double loss, double count_each) const {
    const double w = weight(row);
    row_totals[row] = w == 0 ? 0 : w * loss;
    row_totals[rows + row] = w * count_each;
    row_totals[2 * rows + row] = 0;
  }
};

/// A row kernel: the sum of F's loss over the elements of a row of x and t (rows, features).
template <class T, class F>
struct PointLoss {
  static constexpr const char* name = F::name;
  LossRows<T> in;
  const T* x;
  const T* t;
  double count_each;
  F f;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    double mine = 0;
    for_each_wide<T>(team, in.features, [&](std::int64_t c, auto width) {
      const auto v = load(x + row * in.features + c, width), target = load(t + row * in.features + c, width);
      A part = 0;
      for (int k = 0; k < width; ++k) part += f.value(v[k], target[k]);
      mine += static_cast<double>(part);
    });
    const double loss = team.sum(mine);
    if (team.lane() == 0) in.write(row, loss, count_each);
  }
};

/// A row kernel: dx = beta * dx + dloss[0] * weight * slope(x, t).
template <class T, class F>
struct PointLossGradient {
  static constexpr const char* name = F::gradient_name;
  LossRows<T> in;
  const T* x;
  const T* t;
  const Accum<T>* dloss;
  T* dx;
  Accum<T> beta;
  F f;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const A factor = static_cast<A>(in.weight(row)) * *dloss;
    const bool counts = in.weight(row) != 0;
    for_each_wide<T>(team, in.features, [&](std::int64_t c, auto width) {
      const std::int64_t at = row * in.features + c;
      const auto target = load(t + at, width);
      auto v = load(x + at, width);
      for (int k = 0; k < width; ++k) v[k] = counts ? factor * f.slope(v[k], target[k]) : A{0};
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(dx) + at, width);
        for (int k = 0; k < width; ++k) v[k] += beta * old[k];
      }
      store(dx + at, v);
    });
  }
};

/// (x - t)^2.
template <class A>
struct SquaredLoss {
  static constexpr const char *name = "squared_loss", *gradient_name = "squared_loss_gradient";
  static SquaredLoss of(const Numbers&) { return {}; }
  TRIREME_HD A value(A x, A t) const { return (x - t) * (x - t); }
  TRIREME_HD A slope(A x, A t) const { return 2 * (x - t); }
};

/// |x - t|; slope 0 at 0.
template <class A>
struct AbsoluteLoss {
  static constexpr const char *name = "absolute_loss", *gradient_name = "absolute_loss_gradient";
  static AbsoluteLoss of(const Numbers&) { return {}; }
  TRIREME_HD A value(A x, A t) const { return std::fabs(x - t); }
  TRIREME_HD A slope(A x, A t) const { return x > t ? A{1} : (x < t ? A{-1} : A{0}); }
};

/// d^2 / (2 width) where |d| < width, else |d| - width / 2, with d = x - t.
template <class A>
struct SmoothL1Loss {
  static constexpr const char *name = "smooth_l1_loss", *gradient_name = "smooth_l1_loss_gradient";
  A width;
  static SmoothL1Loss of(const Numbers& n) { return {static_cast<A>(n.first)}; }
  TRIREME_HD A value(A x, A t) const {
    const A d = std::fabs(x - t);
    return d < width ? d * d / (2 * width) : d - width / 2;
  }
  TRIREME_HD A slope(A x, A t) const {
    const A d = x - t;
    return std::fabs(d) < width ? d / width : (d > 0 ? A{1} : A{-1});
  }
};

/// -(positive t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), without the logarithm of a rounded 0.
template <class A>
struct BinaryCrossEntropyLoss {
  static constexpr const char *name = "binary_cross_entropy", *gradient_name = "binary_cross_entropy_gradient";
  A positive;
  static BinaryCrossEntropyLoss of(const Numbers& n) { return {static_cast<A>(n.first)}; }
  TRIREME_HD A factor(A t) const { return 1 + (positive - 1) * t; }
  TRIREME_HD A value(A x, A t) const {
    return (1 - t) * x + factor(t) * (std::log1p(std::exp(-std::fabs(x))) + (x < 0 ? -x : A{0}));
  }
  TRIREME_HD A slope(A x, A t) const { return (1 - t) - factor(t) * sigmoid_of(-x); }
};

/// max(0, margin - t x) for targets 1 and -1.
template <class A>
struct HingeLoss {
  static constexpr const char *name = "hinge_loss", *gradient_name = "hinge_loss_gradient";
  A margin;
  static HingeLoss of(const Numbers& n) { return {static_cast<A>(n.first)}; }
  TRIREME_HD A value(A x, A t) const {
    const A short_of = margin - t * x;
    return short_of < 0 ? A{0} : short_of;
  }
  TRIREME_HD A slope(A x, A t) const { return margin - t * x > 0 ? -t : A{0}; }
};

/// t (log t - x) for logarithms x of probabilities; 0 where t is 0.
template <class A>
struct DivergenceLoss {
  static constexpr const char *name = "kl_divergence", *gradient_name = "kl_divergence_gradient";
  static DivergenceLoss of(const Numbers&) { return {}; }
  TRIREME_HD A value(A x, A t) const { return t > 0 ? t * (std::log(t) - x) : A{0}; }
  TRIREME_HD A slope(A, A t) const { return t > 0 ? -t : A{0}; }
};

/// A row kernel: the mean over classes of max(0, margin - x[label] + x[c]), c not the label.
template <class T>
struct MarginLoss {
  static constexpr const char* name = "multi_class_hinge";
  LossRows<T> in;
  const T* x;
  const std::int32_t* labels;
  Accum<T> margin;

  TRIREME_HD bool valid(std::int64_t row) const { return labels[row] >= 0 && labels[row] < in.features; }
  TRIREME_HD Accum<T> least(std::int64_t row) const {
    return static_cast<Accum<T>>(x[row * in.features + labels[row]]) - margin;
  }
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    double mine = 0;
    if (valid(row)) {
      const Accum<T> from = least(row);
      for (std::int64_t c = team.lane(); c < in.features; c += team.lanes()) {
        const Accum<T> over = static_cast<Accum<T>>(x[row * in.features + c]) - from;
        if (c != labels[row] && over > 0) mine += static_cast<double>(over);
      }
    }
    const double total = team.sum(mine) / static_cast<double>(in.features);
    if (team.lane() == 0) in.write(row, valid(row) ? total : std::nan(""), 1);
  }
};

/// A row kernel: dx = beta * dx + dloss[0] * weight * (the gradient of the row's loss).
template <class T>
struct MarginLossGradient {
  static constexpr const char* name = "multi_class_hinge_gradient";
  MarginLoss<T> of;
  const Accum<T>* dloss;
  T* dx;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const LossRows<T>& in = of.in;
    const bool counts = in.weight(row) != 0 && of.valid(row);
    const A each = counts ? static_cast<A>(in.weight(row)) * *dloss / static_cast<A>(in.features) : A{0};
    const A from = counts ? of.least(row) : A{0};
    A mine = 0;
    for (std::int64_t c = team.lane(); c < in.features; c += team.lanes())
      if (counts && c != of.labels[row] && static_cast<A>(of.x[row * in.features + c]) > from) mine += 1;
    const A over = team.sum(mine);
    for (std::int64_t c = team.lane(); c < in.features; c += team.lanes()) {
      const std::int64_t at = row * in.features + c;
      A v = static_cast<A>(of.x[at]) > from ? each : A{0};
      if (c == of.labels[row]) v = -each * over;
      dx[at] = static_cast<T>(beta == 0 ? v : v + beta * static_cast<A>(dx[at]));
    }
  }
};

}  // namespace trireme::kernels
