// Products of matrices as a plain text: the arithmetic of f64, of devices without a library, and what the libraries are
// compared with. Every element is summed over k in order, so a result never depends on lanes, threads or batch size.
#pragma once

#include "core/kernels/simd.hpp"

namespace trireme::kernels {

/// A row kernel over the tiles of `tile_rows` rows of c, batch after batch:
///   c[r, j] = beta * c[r, j] + sum over p of a(r, p) * b[p, j], then + bias[j] and relu where wanted.
/// Shapes: c (batches, m, n); b (batches, k, n); a is addressed as a[r * a_row + p * a_column]; bias (n) or null.
template <class T>
struct MatmulReference {
  static constexpr const char* name = "matmul_reference";
  static constexpr int tile_rows = 4;
  const T* a;
  const T* b;
  T* c;
  const T* bias;
  std::int64_t m, n, k, a_row, a_column;
  Accum<T> beta;
  std::uint32_t relu;  ///< 1: negative results become 0.

  /// How many rows a launch of this kernel has.
  std::int64_t tiles(std::int64_t batches) const { return batches * ((m + tile_rows - 1) / tile_rows); }

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t per_batch = (m + tile_rows - 1) / tile_rows;
    const std::int64_t batch = row / per_batch, first = row % per_batch * tile_rows;
    if (first + tile_rows <= m) return tile(team, batch, first, Width<tile_rows>{});
    for (std::int64_t r = first; r < m; ++r) tile(team, batch, r, Width<1>{});
  }

 private:
  template <class Team, class Rows>
  TRIREME_HD void tile(const Team& team, std::int64_t batch, std::int64_t first, Rows rows) const {
    using A = Accum<T>;
    const T* left = a + batch * m * k + first * a_row;
    const T* right = b + batch * k * n;
    T* out = c + (batch * m + first) * n;
    for_each_wide<T>(team, n, [&](std::int64_t j, auto width) {
      Vec<A, width> sums[Rows{}];
      for (std::int64_t p = 0; p < k; ++p) {
        const auto v = load_vec(right + p * n + j, width);
        for (int r = 0; r < rows; ++r) {
          const auto factor = static_cast<A>(left[r * a_row + p * a_column]);
          sums[r] = map([factor](auto total, auto x) { return total + factor * x; }, sums[r], v);
        }
      }
      for (int r = 0; r < rows; ++r) finish(out + r * n, j, sums[r], width);
    });
  }
  template <class P, class W>
  TRIREME_HD void finish(T* out, std::int64_t j, P sum, W width) const {
    sum = plus_old(sum, beta, static_cast<const T*>(out + j));
    if (bias != nullptr) sum = map([](auto v, auto more) { return v + more; }, sum, load_vec(bias + j, width));
    if (relu != 0) sum = map([](auto v) { return v < decltype(v){} ? decltype(v){} : v; }, sum);
    store_vec(out + j, sum);
  }
};

/// A row kernel over the batches * columns rows of the result: y (batches, columns, rows) = x (batches, rows, columns)
/// with the last two dims exchanged.
template <class T>
struct TransposeMatrix {
  static constexpr const char* name = "transpose_matrix";
  const T* x;
  T* y;
  std::int64_t rows, columns;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t batch = row / columns, column = row % columns;
    const T* in = x + batch * rows * columns + column;
    T* out = y + row * rows;
    for (std::int64_t r = team.lane(); r < rows; r += team.lanes()) out[r] = in[r * columns];
  }
};

}  // namespace trireme::kernels
