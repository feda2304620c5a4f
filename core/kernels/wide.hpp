// Wider packs where one lane does a whole row: 16 bytes are one access of a GPU's lane, but a CPU with 32-byte vectors
// wants several independent vectors in flight. Kernels that take their width from here give the same text to both.
#pragma once

#include "core/kernels/team.hpp"

namespace trireme {

/// Elements of one serial step: two AVX2 vectors.
template <class T>
inline constexpr int serial_width = 64 / static_cast<int>(sizeof(T));

/// The widest pack of a team's lane; accumulators of for_each_wide are Pack<Accum<T>, lane_width<T, Team>>.
template <class T, class Team>
inline constexpr int lane_width = std::is_same_v<Team, SerialTeam> ? serial_width<T> : pack_width<T>;

/// Like for_each_pack, in steps of lane_width first, then packs of 16 bytes, then single elements.
template <class T, class Team, class F>
TRIREME_HD void for_each_wide(const Team& team, std::int64_t n, F&& f) {
  if constexpr (std::is_same_v<Team, SerialTeam>) {
    constexpr int wide = serial_width<T>, narrow = pack_width<T>;
    std::int64_t i = 0;
    for (; i + wide <= n; i += wide) f(i, Width<wide>{});
    for (; i + narrow <= n; i += narrow) f(i, Width<narrow>{});
    for (; i < n; ++i) f(i, Width<1>{});
  } else {
    for_each_pack<T>(team, n, f);
  }
}

/// Calls f(c, width) for the columns of one lane of a column kernel.
template <class T, class Team, class F>
TRIREME_HD void for_each_column(const Team& team, std::int64_t tile, std::int64_t channels, F&& f) {
  constexpr int wide = lane_width<T, Team>, narrow = pack_width<T>;
  std::int64_t c = (tile * team.lanes() + team.lane()) * wide;
  const std::int64_t end = c + wide < channels ? c + wide : channels;
  if (c + wide == end) return f(c, Width<wide>{});
  for (; c + narrow <= end; c += narrow) f(c, Width<narrow>{});
  for (; c < end; ++c) f(c, Width<1>{});
}

}  // namespace trireme
