// Rotary positions (Su et al. 2021, arXiv:2104.09864), heads split in halves: elements i and i + half of a head are a
// pair that turns by the angle position * base^(-2 i / head_size).
#pragma once

#include <cmath>

#include "core/kernels/simd.hpp"
#include "core/kernels/token_index.hpp"

namespace trireme::kernels {

/// A row kernel over tokens. Shapes: x, y (tokens, features), y may equal x; cosine, sine (positions, half). The first
/// `heads` heads of 2 * half elements are turned, the rest is copied. A position that has no row in the tables makes
/// the turned heads not a number.
template <class T>
struct Rotary {
  static constexpr const char* name = "rotary";
  const T* x;
  T* y;
  const Accum<T>* cosine;
  const Accum<T>* sine;
  TokenIndex position;
  std::int64_t heads, half, features;
  Accum<T> direction;  ///< 1, or -1 to turn back.

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t token) const {
    constexpr int wide = lane_width<T, Team>, narrow = pack_width<T>;
    if (half % wide == 0) {
      turn(team, token, Width<wide>{});
    } else if (half % narrow == 0) {
      turn(team, token, Width<narrow>{});
    } else {
      turn(team, token, Width<1>{});
    }
    if (x == y) return;
    const std::int64_t first = token * features + heads * 2 * half;
    for_each_wide<T>(team, features - heads * 2 * half,
                     [&](std::int64_t c, auto width) { store_vec(y + first + c, load_vec(x + first + c, width)); });
  }

 private:
  template <class Team, class W>
  TRIREME_HD void turn(const Team& team, std::int64_t token, W width) const {
    using A = Accum<T>;
    const bool valid = position.valid(token);
    const std::int64_t steps = half / W{}, at = valid ? position.at(token) * half : 0;
    const A factor = valid ? direction : static_cast<A>(NAN);
    for (std::int64_t p = team.lane(); p < heads * steps; p += team.lanes()) {
      const std::int64_t i = p % steps * W{}, first = token * features + p / steps * 2 * half + i;
      const auto c = load_vec(cosine + at + i, width), s = load_vec(sine + at + i, width);
      const auto a = load_vec(x + first, width), b = load_vec(x + first + half, width);
      store_vec(y + first,
                map([factor](auto u, auto v, auto cos, auto sin) { return u * cos - v * (factor * sin); }, a, b, c, s));
      store_vec(y + first + half,
                map([factor](auto u, auto v, auto cos, auto sin) { return v * cos + u * (factor * sin); }, a, b, c, s));
    }
  }
};

}  // namespace trireme::kernels
