// Cross-entropy of rows of logits against class labels with label smoothing, fused with softmax (see
// core/ops/cross_entropy.hpp). The loss of a row is
//   w * (log sum exp(x) - (1 - s) x[label] - s mean(x)),   its gradient   w * (softmax(x) - (1 - s) [label] - s /
//   classes)
#pragma once

#include <cmath>

#include "core/kernels/softmax.hpp"

namespace trireme::kernels {

/// What forward and gradient share. Shapes: logits (rows, classes); labels (rows); weights (rows) or null.
template <class T>
struct CrossEntropyRows {
  const T* logits;
  const std::int32_t* labels;
  const float* weights;
  std::int64_t rows, classes;
  std::int32_t ignore;  ///< A label; meaningful if has_ignore.
  std::uint32_t has_ignore;
  Accum<T> smoothing;
  Accum<T>* top;    ///< (rows) largest logit, written by the forward kernel.
  Accum<T>* scale;  ///< (rows) 1 / sum of exp(x - top).

  /// The factor of a row; 0 for padding and ignored rows.
  TRIREME_HD float weight(std::int64_t row) const {
    if (has_ignore != 0 && labels[row] == ignore) return 0;
    return weights ? weights[row] : 1.0f;
  }
  TRIREME_HD bool valid(std::int64_t row) const { return labels[row] >= 0 && labels[row] < classes; }
};

/// A row kernel. row_totals is (3, rows) of f64: loss, weight, weight if the label has the largest logit.
template <class T>
struct CrossEntropyForward {
  static constexpr const char* name = "cross_entropy";
  CrossEntropyRows<T> in;
  double* row_totals;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const T* x = in.logits + row * in.classes;
    const A largest = team.max(ArgMax<T>::lane_max(team, x, in.classes));
    const A sum = team.sum(lane_exp_sum(team, x, in.classes, largest));
    A shifted = 0;  // the sum of x - largest, wanted for smoothing only
    if (in.smoothing != 0) shifted = team.sum(lane_sum(team, x, largest));
    const auto w = static_cast<double>(in.weight(row));
    const bool valid = in.valid(row);
    const A target = valid ? static_cast<A>(x[in.labels[row]]) : A{0};
    const A earlier = valid && target == largest ? equal_before(team, x, in.labels[row], largest) : A{1};
    const bool right = team.sum(earlier) == 0;
    if (team.lane() != 0) return;
    const A loss =
        std::log(sum) - (1 - in.smoothing) * (target - largest) - in.smoothing * shifted / static_cast<A>(in.classes);
    const double counted = valid ? w * static_cast<double>(loss) : std::nan("");
    row_totals[row] = w == 0 ? 0 : counted;
    row_totals[in.rows + row] = w;
    row_totals[2 * in.rows + row] = right ? w : 0;
    in.top[row] = largest;
    in.scale[row] = 1 / sum;
  }

 private:
  template <class Team>
  TRIREME_HD Accum<T> lane_sum(const Team& team, const T* x, Accum<T> largest) const {
    Pack<Accum<T>, lane_width<T, Team>> totals;
    for_each_wide<T>(team, in.classes, [&](std::int64_t c, auto width) {
      const auto v = load(x + c, width);
      for (int k = 0; k < width; ++k) totals[k] += v[k] - largest;
    });
    return totals.sum();
  }
  /// How many of this lane's elements before the label are as large: then the label is not the first largest.
  template <class Team>
  TRIREME_HD static Accum<T> equal_before(const Team& team, const T* x, std::int64_t label, Accum<T> largest) {
    Accum<T> count = 0;
    for (std::int64_t c = team.lane(); c < label; c += team.lanes())
      if (static_cast<Accum<T>>(x[c]) == largest) count += 1;
    return count;
  }
};

/// A row kernel over the three totals: totals[k] = sum of row_totals[k, :] in order of the lanes' strides; loss is
/// totals[0] rounded to T, which is f32 or f64: a sum over many rows has no place in 16 bits.
template <class T>
struct CrossEntropyFinish {
  static constexpr const char* name = "cross_entropy_finish";
  const double* row_totals;
  double* totals;
  T* loss;
  std::int64_t rows;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t k) const {
    double mine = 0;
    for (std::int64_t row = team.lane(); row < rows; row += team.lanes()) mine += row_totals[k * rows + row];
    const double total = team.sum(mine);
    if (team.lane() != 0) return;
    totals[k] = total;
    if (k == 0) *loss = static_cast<T>(total);
  }
};

/// A row kernel: dx = beta * dx + dloss[0] * (gradient of the row's loss).
template <class T>
struct CrossEntropyGradient {
  static constexpr const char* name = "cross_entropy_gradient";
  CrossEntropyRows<T> in;
  const Accum<T>* dloss;
  T* dx;
  Accum<T> beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const T* x = in.logits + row * in.classes;
    T* out = dx + row * in.classes;
    const A w = static_cast<A>(in.weight(row)) * *dloss, at_label = w * (1 - in.smoothing);
    const bool counts = in.weight(row) != 0 && in.valid(row);
    const std::int64_t label = in.labels[row];
    const A largest = in.top[row], factor = in.scale[row], spread = in.smoothing / static_cast<A>(in.classes);
    for_each_wide<T>(team, in.classes, [&](std::int64_t c, auto width) {
      Pack<A, width> v;
      if (counts) {
        v = load(x + c, width);
        for (int k = 0; k < width; ++k) v[k] = w * (exp_of(v[k] - largest) * factor - spread);
        // Before it is rounded: near the end of a training this is the small difference of two numbers near w.
        const auto place = static_cast<int>(label - c);
        for (int k = 0; k < width; ++k) v[k] -= select(k == place, at_label, 0);
      }
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(out) + c, width);
        for (int k = 0; k < width; ++k) v[k] += beta * old[k];
      }
      store(out + c, v);
    });
  }
};

}  // namespace trireme::kernels
