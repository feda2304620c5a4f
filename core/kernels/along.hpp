// Kernels that look at places inside a row: elements taken and added by index, the largest k, running sums; and the
// choice between two tensors element by element. Every sum has a fixed order.
#pragma once

#include <cmath>

#include "core/kernels/team.hpp"

namespace trireme::kernels {

/// An element kernel: y[i] = condition[i] != 0 ? a[i] : b[i].
template <class T>
struct Where {
  static constexpr const char* name = "where";
  static constexpr int pack = pack_width<T>, serial_pack = pack_width<T>;
  const std::uint8_t* condition;
  const T* a;
  const T* b;
  T* y;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    auto out = load(a + i, width);
    const auto other = load(b + i, width);
    for (int k = 0; k < W{}; ++k) out[k] = condition[i + k] != 0 ? out[k] : other[k];
    store(y + i, out);
  }
};

/// The gradient of one of the two, an element kernel: dx[i] = beta * dx[i] + (dy[i] where condition is `side`, else 0).
template <class T>
struct WhereGradient {
  static constexpr const char* name = "where_gradient";
  static constexpr int pack = pack_width<T>, serial_pack = pack_width<T>;
  const std::uint8_t* condition;
  const T* dy;
  T* dx;
  std::uint32_t side;  ///< 1: of a, 0: of b.
  Accum<T> beta;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W width) const {
    auto out = load(dy + i, width);
    for (int k = 0; k < W{}; ++k) out[k] = (condition[i + k] != 0) == (side != 0) ? out[k] : Accum<T>{0};
    if (beta != 0) {
      const auto old = load(static_cast<const T*>(dx) + i, width);
      for (int k = 0; k < W{}; ++k) out[k] += beta * old[k];
    }
    store(dx + i, out);
  }
};

/// A row kernel: y[row, j] = beta * y[row, j] + x[row, index[row, j]]; x has rows of `features`, y of `count`. An index
/// outside gives `outside`.
template <class T>
struct TakeAlong {
  static constexpr const char* name = "take_along";
  const T* x;
  const std::int32_t* index;
  T* y;
  std::int64_t features, count;
  Accum<T> outside, beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* in = x + row * features;
    for (std::int64_t j = row * count + team.lane(); j < (row + 1) * count; j += team.lanes()) {
      const std::int64_t at = index[j];
      Accum<T> v = at >= 0 && at < features ? static_cast<Accum<T>>(in[at]) : outside;
      if (beta != 0) v += beta * static_cast<Accum<T>>(y[j]);
      y[j] = static_cast<T>(v);
    }
  }
};

/// A row kernel: y[row, c] = beta * y[row, c] + the sum, in order, of x[row, j] with index[row, j] == c; x has rows of
/// `count`, y of `features`. Each lane owns every lanes()-th column, so none adds where another does.
template <class T>
struct ScatterAlong {
  static constexpr const char* name = "scatter_along";
  const T* x;
  const std::int32_t* index;
  T* y;
  std::int64_t features, count;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    T* out = y + row * features;
    if (beta == 0)
      for (std::int64_t c = team.lane(); c < features; c += team.lanes()) out[c] = static_cast<T>(Accum<T>{0});
    for (std::int64_t j = row * count; j < (row + 1) * count; ++j) {
      const std::int64_t c = index[j];
      if (c < 0 || c >= features || c % team.lanes() != team.lane()) continue;
      out[c] = static_cast<T>(static_cast<Accum<T>>(out[c]) + static_cast<Accum<T>>(x[j]));
    }
  }
};

/// A row kernel: the k largest elements of sign * x[row, :] from the largest on, of equal ones the first first.
/// Elements that are not a number are never chosen; where fewer than k are left, index is -1 and value not a number.
template <class T>
struct TopK {
  static constexpr const char* name = "top_k";
  const T* x;
  T* value;
  std::int32_t* index;
  std::int64_t features, k;
  Accum<T> sign;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* in = x + row * features;
    Accum<T> last = static_cast<Accum<T>>(HUGE_VAL);
    std::int64_t last_at = -1;
    for (std::int64_t place = 0; place < k; ++place) {
      Accum<T> best = -static_cast<Accum<T>>(HUGE_VAL);
      std::int64_t at = features;
      for (std::int64_t c = team.lane(); c < features; c += team.lanes()) {
        const Accum<T> v = sign * static_cast<Accum<T>>(in[c]);
        const bool follows = v < last || (v == last && c > last_at);
        if (!follows || (at < features && !(v > best))) continue;
        best = v;
        at = c;
      }
      const Accum<T> top = team.max(best);
      const std::int64_t first = -team.max(-(best == top ? at : features));
      if (team.lane() == 0) {
        value[row * k + place] = first < features ? in[first] : static_cast<T>(static_cast<Accum<T>>(NAN));
        index[row * k + place] = first < features ? static_cast<std::int32_t>(first) : -1;
      }
      last = first < features ? top : -static_cast<Accum<T>>(HUGE_VAL);
      last_at = first;
    }
  }
};

/// How rows are cut into runs for a running sum: run r of a row are elements [r * each, ...). `reverse` sums from the
/// end of a row.
struct Runs {
  std::int64_t features, runs, each;
  std::uint32_t reverse;
  TRIREME_HD std::int64_t first(std::int64_t run) const { return run * each; }
  TRIREME_HD std::int64_t last(std::int64_t run) const {
    return (run + 1) * each < features ? (run + 1) * each : features;
  }
};

/// First pass of a running sum, an element kernel over rows * runs: the total of each run.
template <class T>
struct RunTotals {
  static constexpr const char* name = "run_totals";
  static constexpr int pack = 1, serial_pack = 1;
  const T* x;
  Accum<T>* totals;
  Runs in;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    const std::int64_t row = i / in.runs, run = i % in.runs;
    Accum<T> total = 0;
    for (std::int64_t c = in.first(run); c < in.last(run); ++c)
      total += static_cast<Accum<T>>(x[row * in.features + c]);
    totals[i] = total;
  }
};

/// Second pass: y[row, c] = beta * y[row, c] + x[row, 0] + ... + x[row, c], or from c to the end.
template <class T>
struct RunSums {
  static constexpr const char* name = "run_sums";
  static constexpr int pack = 1, serial_pack = 1;
  const T* x;
  const Accum<T>* totals;  ///< Not read where a row is one run.
  T* y;
  Runs in;
  Accum<T> beta;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    const std::int64_t row = i / in.runs, run = i % in.runs, n = in.last(run) - in.first(run);
    Accum<T> total = 0;
    if (in.reverse == 0)
      for (std::int64_t r = 0; r < run; ++r) total += totals[row * in.runs + r];
    else
      for (std::int64_t r = in.runs - 1; r > run; --r) total += totals[row * in.runs + r];
    for (std::int64_t step = 0; step < n; ++step) {
      const std::int64_t c = row * in.features + (in.reverse == 0 ? in.first(run) + step : in.last(run) - 1 - step);
      total += static_cast<Accum<T>>(x[c]);
      y[c] = static_cast<T>(beta == 0 ? total : total + beta * static_cast<Accum<T>>(y[c]));
    }
  }
};

}  // namespace trireme::kernels
