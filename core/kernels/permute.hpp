// Copies with another order or another place: permuted dims, and blocks of rows inside longer rows (concat, slice).
#pragma once

#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// A row kernel: y[row * y_stride + c] = beta * y[...] + x[row * x_stride + c] for c < count.
template <class T>
struct CopyRows {
  static constexpr const char* name = "copy_rows";
  const T* x;
  T* y;
  std::int64_t count, x_stride, y_stride;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const T* in = x + row * x_stride;
    T* out = y + row * y_stride;
    for_each_wide<T>(team, count, [&](std::int64_t c, auto width) {
      auto v = load(in + c, width);
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(out) + c, width);
        for (int k = 0; k < width; ++k) v[k] += beta * old[k];
      }
      store(out + c, v);
    });
  }
};

/// Dims that a row number counts through, the last one fastest, with the strides of both sides in elements.
struct PermuteDims {
  static constexpr int most = 6;
  int dims;
  std::int64_t extent[most], x_stride[most], y_stride[most];
  TRIREME_HD void locate(std::int64_t row, std::int64_t& from, std::int64_t& to) const {
    from = to = 0;
    for (int d = dims - 1; d >= 0; --d) {
      const std::int64_t at = row % extent[d];
      row /= extent[d];
      from += at * x_stride[d];
      to += at * y_stride[d];
    }
  }
};

/// y = beta * y + x with dims in another order, where the innermost dim stays innermost: a row kernel, rows of `count`.
template <class T>
struct PermuteRows {
  static constexpr const char* name = "permute";
  const T* x;
  T* y;
  PermuteDims outer;
  std::int64_t count;
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    std::int64_t from, to;
    outer.locate(row, from, to);
    CopyRows<T>{x + from, y + to, count, 0, 0, beta}(team, 0);
  }
};

/// The same where another dim becomes innermost: row (outer, tile) moves a tile of `width` neighbours of x's innermost
/// dim (extent x_inner) times all of y's innermost dim (extent y_inner), so that both sides use whole cache lines.
template <class T>
struct PermuteTiles {
  static constexpr const char* name = "permute_tiles";
  static constexpr int width = 16;
  const T* x;
  T* y;
  PermuteDims outer;
  std::int64_t x_inner, y_inner;
  std::int64_t x_stride;  ///< Of y's innermost dim in x.
  std::int64_t y_stride;  ///< Of x's innermost dim in y.
  Accum<T> beta;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t tiles = (x_inner + width - 1) / width;
    std::int64_t from, to;
    outer.locate(row / tiles, from, to);
    const std::int64_t first = row % tiles * width;
    const int wide = static_cast<int>(x_inner - first < width ? x_inner - first : width);
    const T* in = x + from + first;
    T* out = y + to + first * y_stride;
    for (std::int64_t c = team.lane(); c < y_inner; c += team.lanes()) {
      for (int k = 0; k < wide; ++k) {
        T& at = out[k * y_stride + c];
        const T value = in[c * x_stride + k];
        at = beta == 0 ? value : static_cast<T>(static_cast<Accum<T>>(value) + beta * static_cast<Accum<T>>(at));
      }
    }
  }
};

}  // namespace trireme::kernels
