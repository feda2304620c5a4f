// Softmax of the scores of attention over the keys a query may see: those before the length of its row, and with a
// causal mask none behind its own place. Its gradient is that of softmax (softmax.hpp): what is not seen is 0 there.
#pragma once

#include "core/kernels/softmax.hpp"

namespace trireme::kernels {

/// A row kernel over (B, rows_of_sample, keys); rows_of_sample is heads * queries. A query that sees nothing gives 0.
template <class T>
struct MaskedSoftmax {
  static constexpr const char* name = "masked_softmax";
  const T* x;
  T* y;
  const std::int32_t* lengths;  ///< (B) or null.
  std::int64_t rows_of_sample, queries, keys;
  std::uint32_t causal;  ///< 1: query q sees keys up to q + shift.
  std::int64_t shift;

  TRIREME_HD std::int64_t seen(std::int64_t row) const {
    std::int64_t n = keys;
    if (lengths != nullptr && lengths[row / rows_of_sample] < n) n = lengths[row / rows_of_sample];
    const std::int64_t up_to = row % queries + shift + 1;
    if (causal != 0 && up_to < n) n = up_to;
    return n > 0 ? n : 0;
  }
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    using A = Accum<T>;
    const std::int64_t n = seen(row);
    const T* in = x + row * keys;
    T* out = y + row * keys;
    const A top = team.max(ArgMax<T>::lane_max(team, in, n));
    const A sum = team.sum(lane_exp_sum(team, in, n, top));
    const A factor = n > 0 ? A{1} / sum : A{0};
    for (std::int64_t c = team.lane(); c < keys; c += team.lanes())
      out[c] = static_cast<T>(c < n ? exp_of(static_cast<A>(in[c]) - top) * factor : A{0});
  }
};

}  // namespace trireme::kernels
