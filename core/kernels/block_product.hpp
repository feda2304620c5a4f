// Products of small blocks of f32 in the registers of a CPU, and what attention does between them: blocks laid out for
// the products, exponentials of whole registers. Every element of a product is summed over the depth in order, so that
// it does not depend on which other rows are computed with it. For g++ only, no kernel text.
#pragma once

#include <bit>
#include <cmath>

#include "core/kernels/simd.hpp"

namespace trireme::kernels {

/// Columns of a panel: two registers.
inline constexpr std::int64_t panel_width = 16;
/// Rows whose sums with a panel fill the registers.
inline constexpr int strip_rows = 6;

using Register8 = trireme::detail::Register<float, 8>::Type;
using Whole8 = trireme::detail::Register<std::int32_t, 8>::Type;

inline Register8 load8(const float* p) {
  Register8 out;
  memcpy(&out, p, sizeof out);
  return out;
}
inline void store8(float* p, Register8 v) { memcpy(p, &v, sizeof v); }
/// ((v0 + v4) + (v2 + v6)) + ((v1 + v5) + (v3 + v7)).
inline float sum8(Register8 v) {
  v += __builtin_shuffle(v, Whole8{4, 5, 6, 7, 0, 1, 2, 3});
  v += __builtin_shuffle(v, Whole8{2, 3, 0, 1, 6, 7, 4, 5});
  return v[0] + v[1];
}
inline float max8(Register8 v) {
  const Register8 halves = __builtin_shuffle(v, Whole8{4, 5, 6, 7, 0, 1, 2, 3});
  v = v > halves ? v : halves;
  const Register8 pairs = __builtin_shuffle(v, Whole8{2, 3, 0, 1, 6, 7, 4, 5});
  v = v > pairs ? v : pairs;
  return v[0] > v[1] ? v[0] : v[1];
}

/// exp(x) for x <= 0 to 2 ulp, exactly 0 below -87.3 (see exp_of for the method).
inline Register8 exp8(Register8 x) {
  constexpr float least = -87.3f, shift = 0x1.8p23f;
  const Register8 zero{};
  const Register8 v = x < least ? zero + least : x;
  const Register8 shifted = v * 1.44269504f + shift, whole = shifted - shift;
  const Register8 r = (v - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Register8 p = r * 1.381314700e-3f + 8.369418756e-3f;
  p = p * r + 4.166845673e-2f;
  p = p * r + 1.666651479e-1f;
  p = p * r + 4.999999305e-1f;
  p = (p * r * r + r) + 1.0f;
  const Whole8 power = std::bit_cast<Whole8>(shifted) << 23;  // the whole number is in the low bits
  const auto out = std::bit_cast<Register8>(std::bit_cast<Whole8>(p) + power);
  return x < least ? zero : out;
}

/// Whether the left operand's next element in memory is the next of the depth or the next row.
enum class LeftOrder : std::uint8_t { depth, rows };
/// Whether sums start at zero or at what the result holds.
enum class Start : std::uint8_t { zero, result };

/// Up to strip_rows rows of out (+)= left * right. Left element (r, p) is left[r * left_step + p] in LeftOrder::depth,
/// left[r + p * left_step] in LeftOrder::rows; right element (p, j) is right[j / 16 * right_panel + p * right_step + j
/// % 16]; result (r, j) is out[r * out_step + j]. Columns are [first_column, last_column), whole panels.
struct StripProduct {
  const float* left;
  std::int64_t left_step;
  const float* right;
  std::int64_t right_step, right_panel;
  float* out;
  std::int64_t out_step;
  std::int64_t first_column, last_column, first_depth, last_depth;
};

template <int rows, LeftOrder order>
inline void product_panel(const StripProduct& s, std::int64_t column, Start start) {
  constexpr bool by_depth = order == LeftOrder::depth;
  float* const out = s.out + column;
  Register8 sums[rows][2] = {};
  if (start == Start::result) {
    for (int r = 0; r < rows; ++r) {
      sums[r][0] = load8(out + r * s.out_step);
      sums[r][1] = load8(out + r * s.out_step + 8);
    }
  }
  const std::int64_t left_step = s.left_step, right_step = s.right_step;
  const float* a = s.left + s.first_depth * (by_depth ? 1 : left_step);
  const float* b = s.right + column / panel_width * s.right_panel + s.first_depth * right_step;
  for (std::int64_t p = s.first_depth; p < s.last_depth; ++p) {
    const Register8 low = load8(b), high = load8(b + 8);
    for (int r = 0; r < rows; ++r) {
      const float factor = by_depth ? a[r * left_step] : a[r];
      sums[r][0] += low * factor;
      sums[r][1] += high * factor;
    }
    a += by_depth ? 1 : left_step;
    b += right_step;
  }
  for (int r = 0; r < rows; ++r) {
    store8(out + r * s.out_step, sums[r][0]);
    store8(out + r * s.out_step + 8, sums[r][1]);
  }
}

template <int rows, LeftOrder order>
inline void product_strip(const StripProduct& s, Start start) {
  for (std::int64_t column = s.first_column; column < s.last_column; column += panel_width)
    product_panel<rows, order>(s, column, start);
}

/// `rows` rows, 1 to strip_rows.
template <LeftOrder order>
inline void multiply_strip(const StripProduct& s, std::int64_t rows, Start start) {
  switch (rows) {
    case 6:
      return product_strip<6, order>(s, start);
    case 5:
      return product_strip<5, order>(s, start);
    case 4:
      return product_strip<4, order>(s, start);
    case 3:
      return product_strip<3, order>(s, start);
    case 2:
      return product_strip<2, order>(s, start);
    default:
      return product_strip<1, order>(s, start);
  }
}

/// Rows of a matrix: row i starts at at[i * step].
struct Rows {
  const float* at;
  std::int64_t step, count, width;
};

/// Copies rows next to each other, `padded` elements each, the rest zeros; factor times them.
inline void pack_rows(const Rows& in, float* out, std::int64_t padded, float factor) {
  for (std::int64_t i = 0; i < in.count; ++i, out += padded) {
    const float* const row = in.at + i * in.step;
    std::int64_t c = 0;
    for (; c <= in.width - 8; c += 8) store8(out + c, load8(row + c) * factor);
    for (; c < in.width; ++c) out[c] = row[c] * factor;
    for (; c < padded; ++c) out[c] = 0;
  }
}

namespace detail {
/// 8 x 8 elements with rows and columns exchanged: row i of 8 registers.
inline void transpose8(Register8 (&v)[8]) {
  Register8 t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shuffle(v[i], v[i + 1], Whole8{0, 8, 1, 9, 4, 12, 5, 13});
    t[i + 1] = __builtin_shuffle(v[i], v[i + 1], Whole8{2, 10, 3, 11, 6, 14, 7, 15});
  }
  Register8 u[8];
  for (int i = 0; i < 8; i += 4) {
    for (int k = 0; k < 2; ++k) {
      u[i + 2 * k] = __builtin_shuffle(t[i + k], t[i + 2 + k], Whole8{0, 1, 8, 9, 4, 5, 12, 13});
      u[i + 2 * k + 1] = __builtin_shuffle(t[i + k], t[i + 2 + k], Whole8{2, 3, 10, 11, 6, 7, 14, 15});
    }
  }
  for (int i = 0; i < 4; ++i) {
    v[i] = __builtin_shuffle(u[i], u[i + 4], Whole8{0, 1, 2, 3, 8, 9, 10, 11});
    v[i + 4] = __builtin_shuffle(u[i], u[i + 4], Whole8{4, 5, 6, 7, 12, 13, 14, 15});
  }
}
}  // namespace detail

/// Rows as columns of panels: element c of row i goes to out[i / 16 * 16 * padded + c * 16 + i % 16]. What is missing
/// of the last panel or of `padded` elements becomes zeros.
inline void pack_turned(const Rows& in, float* out, std::int64_t padded) {
  const std::int64_t panels = (in.count + panel_width - 1) / panel_width;
  for (std::int64_t i = 0; i < panels * panel_width; i += 8) {
    float* const to = out + i / panel_width * panel_width * padded + i % panel_width;
    std::int64_t c = 0;
    if (i + 8 <= in.count) {
      for (; c + 8 <= in.width; c += 8) {
        Register8 block[8];
        for (int k = 0; k < 8; ++k) block[k] = load8(in.at + (i + k) * in.step + c);
        detail::transpose8(block);
        for (int k = 0; k < 8; ++k) store8(to + (c + k) * panel_width, block[k]);
      }
    }
    for (; c < padded; ++c)
      for (std::int64_t k = 0; k < 8; ++k)
        to[c * panel_width + k] = i + k < in.count && c < in.width ? in.at[(i + k) * in.step + c] : 0;
  }
}

}  // namespace trireme::kernels
