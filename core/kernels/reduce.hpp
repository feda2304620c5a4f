// Sums over rows, columns and whole tensors, their gradients (one value spread over many places), and the position of
// the largest element of a row. Every sum has a fixed order.
#pragma once

#include <cmath>

#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// First pass of a column sum: rows [stripe * stripe_rows, ...) of x (rows, features) into partial (stripes, features).
template <class T>
struct ColumnSum {
  static constexpr const char* name = "column_sum";
  static constexpr int serial_pack = serial_width<T>;
  const T* x;
  Accum<T>* partial;
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
      const auto v = load(x + row * features + c, width);
      for (int k = 0; k < W{}; ++k) total[k] += v[k];
    }
    store(partial + stripe * features + c, total);
  }
};

/// Second pass, over features: y[c] = beta * y[c] + alpha * (partial[0, c] + partial[1, c] + ...).
template <class T>
struct ColumnFinish {
  static constexpr const char* name = "column_finish";
  static constexpr int pack = pack_width<T>, serial_pack = serial_width<T>;
  const Accum<T>* partial;
  T* y;
  std::int64_t stripes, features;
  Accum<T> alpha, beta;
  template <class W>
  TRIREME_HD void operator()(std::int64_t c, W width) const {
    Pack<Accum<T>, W{}> total;
    for (std::int64_t s = 0; s < stripes; ++s) {
      const auto v = load(partial + s * features + c, width);
      for (int k = 0; k < W{}; ++k) total[k] += v[k];
    }
    for (int k = 0; k < W{}; ++k) total[k] *= alpha;
    if (beta != 0) {
      const auto old = load(static_cast<const T*>(y) + c, width);
      for (int k = 0; k < W{}; ++k) total[k] += beta * old[k];
    }
    store(y + c, total);
  }
};

/// A row kernel: y[row] = beta * y[row] + alpha * sum of x[row, :].
template <class T>
struct RowSum {
  static constexpr const char* name = "row_sum";
  const T* x;
  T* y;
  std::int64_t features;
  Accum<T> alpha, beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* in = x + row * features;
    Pack<Accum<T>, lane_width<T, Team>> totals;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      const auto v = load(in + c, width);
      for (int k = 0; k < width; ++k) totals[k] += v[k];
    });
    const Accum<T> total = alpha * team.sum(totals.sum());
    if (team.lane() == 0) y[row] = static_cast<T>(beta == 0 ? total : total + beta * static_cast<Accum<T>>(y[row]));
  }
};

/// Elements that one row of ChunkSum adds up.
inline constexpr std::int64_t sum_chunk = 16384;

/// First pass of the sum of a whole tensor, a row kernel over chunks: partial[row] in f64.
template <class T>
struct ChunkSum {
  static constexpr const char* name = "chunk_sum";
  const T* x;
  double* partial;
  std::int64_t elements;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t first = row * sum_chunk, rest = elements - first;
    Pack<Accum<T>, lane_width<T, Team>> totals;
    for_each_wide<T>(team, rest < sum_chunk ? rest : sum_chunk, [&](std::int64_t i, auto width) {
      const auto v = load(x + first + i, width);
      for (int k = 0; k < width; ++k) totals[k] += v[k];
    });
    const double total = team.sum(static_cast<double>(totals.sum()));
    if (team.lane() == 0) partial[row] = total;
  }
};

/// Second pass, a row kernel of one row: y[0] = beta * y[0] + alpha * sum of partial (count).
template <class T>
struct ChunkFinish {
  static constexpr const char* name = "chunk_finish";
  const double* partial;
  T* y;
  std::int64_t count;
  double alpha, beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t) const {
    double mine = 0;
    for (std::int64_t i = team.lane(); i < count; i += team.lanes()) mine += partial[i];
    const double total = alpha * team.sum(mine);
    if (team.lane() == 0) *y = static_cast<T>(beta == 0 ? total : total + beta * static_cast<double>(*y));
  }
};

/// The gradient of a sum, a row kernel: y[row, c] = beta * y[row, c] + alpha * x[row * row_step + c * column_step];
/// column_step is 0 or 1.
template <class T>
struct Spread {
  static constexpr const char* name = "spread";
  const T* x;
  T* y;
  std::int64_t features, row_step;
  int column_step;
  Accum<T> alpha, beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* in = x + row * row_step;
    T* out = y + row * features;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      Pack<Accum<T>, width> v;
      const auto one = static_cast<Accum<T>>(*in);
      for (int k = 0; k < width; ++k) v[k] = one;
      if (column_step != 0) v = load(in + c, width);
      for (int k = 0; k < width; ++k) v[k] *= alpha;
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(out) + c, width);
        for (int k = 0; k < width; ++k) v[k] += beta * old[k];
      }
      store(out + c, v);
    });
  }
};

/// A row kernel: the first index of the largest element of x[row, :]; 0 where no element is a number.
template <class T>
struct ArgMax {
  static constexpr const char* name = "argmax";
  const T* x;
  std::int32_t* index;
  std::int64_t features;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* in = x + row * features;
    const Accum<T> top = team.max(lane_max(team, in, features));
    std::int64_t first = features;
    for (std::int64_t c = team.lane(); c < features; c += team.lanes()) {
      if (static_cast<Accum<T>>(in[c]) == top) {
        first = c;
        break;
      }
    }
    first = -team.max(-first);
    if (team.lane() == 0) index[row] = static_cast<std::int32_t>(first < features ? first : 0);
  }

  /// The largest of this lane's elements; NaN never wins.
  template <class Team>
  TRIREME_HD static Accum<T> lane_max(const Team& team, const T* in, std::int64_t n) {
    using A = Accum<T>;
    Pack<A, lane_width<T, Team>> top;
    for (int k = 0; k < lane_width<T, Team>; ++k) top[k] = -static_cast<A>(HUGE_VAL);
    for_each_wide<T>(team, n, [&](std::int64_t c, auto width) {
      const auto v = load(in + c, width);
      for (int k = 0; k < width; ++k) top[k] = v[k] > top[k] ? v[k] : top[k];
    });
    A out = top[0];
    for (int k = 1; k < lane_width<T, Team>; ++k) out = top[k] > out ? top[k] : out;
    return out;
  }
};

}  // namespace trireme::kernels
