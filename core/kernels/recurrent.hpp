// One step of a recurrent layer, fused: gates, cell and hidden state of every sample from the two products, and its
// gradient. LSTM (Hochreiter, Schmidhuber 1997; with a forget gate, Gers et al. 2000), gates in the order i, f, g, o:
//   c = f c' + i g,  h = o tanh(c)
// GRU (Cho et al. 2014, arXiv:1406.1078, with the reset after the product), gates r, z, n:
//   n = tanh(x_n + r (h' W_n + b_n)),  h = (1 - z) n + z h'
// Rows of different lengths: a sample that has ended keeps its state, its outputs are 0.
#pragma once

#include "core/kernels/math.hpp"
#include "core/kernels/wide.hpp"

namespace trireme::kernels {

enum class Cell : std::uint8_t { lstm, gru };

/// What the steps of a pass share. Samples are rows; step s of a sample is time s, or counted from its end backwards.
/// Sequences come as (B, T, ...), what belongs to the steps is kept as (T, B, ...). A launch computes the columns
/// [first, first + width) of the state: all, or a thread's share of them.
struct RecurrentSteps {
  std::int64_t time, hidden;
  const std::int32_t* lengths;  ///< (B) or null: all have `time`.
  std::uint32_t reverse;
  Cell cell;
  std::int64_t first = 0, width = hidden;

  TRIREME_HD std::int64_t gates() const { return cell == Cell::lstm ? 4 : 3; }
  TRIREME_HD std::int64_t length(std::int64_t row) const {
    if (lengths == nullptr) return time;
    const std::int64_t n = lengths[row];
    return n < 0 ? 0 : (n > time ? time : n);
  }
  /// Where a sample reads and writes at a step; behind its end the step itself.
  TRIREME_HD std::int64_t place(std::int64_t row, std::int64_t step) const {
    const std::int64_t n = length(row);
    return reverse != 0 && step < n ? n - 1 - step : step;
  }
};

/// A row kernel over T * B rows in the order of the steps: takes (B, T, channels) there, or back (then y = beta * y +
/// ...).
template <class T>
struct SequenceToSteps {
  static constexpr const char* name = "sequence_to_steps";
  RecurrentSteps in;
  std::int64_t batch, channels;
  const T* x;
  T* y;
  std::uint32_t back = 0;
  Accum<T> beta = 0;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t sample = row % batch, at = sample * in.time + in.place(sample, row / batch);
    const T* const from = x + (back != 0 ? row : at) * channels;
    T* const to = y + (back != 0 ? at : row) * channels;
    for_each_wide<T>(team, channels, [&](std::int64_t j, auto width) {
      auto value = load(from + j, width);
      if (beta != 0) {
        const auto old = load(static_cast<const T*>(to + j), width);
        for (int k = 0; k < width; ++k) value[k] += beta * old[k];
      }
      store(to + j, value);
    });
  }
};

/// A sample at a step: its row of the state and its row of the sequences.
struct RecurrentPlace {
  std::int64_t row, at;
};

/// A row kernel over samples. projected is (B, gates H), the input's products of this step; recurrent (B, gates width)
/// the state's; kept (B, 4 H) holds what the gradient needs: the gates of an LSTM, which may take the place of its
/// projected; those of a GRU and the state's part of n.
template <class T>
struct RecurrentForward {
  static constexpr const char* name = "recurrent_step";
  using A = Accum<T>;
  RecurrentSteps in;
  std::int64_t step;
  const T* projected;
  const A* recurrent;
  const T* bias;  ///< (gates H) or null: of the state's products.
  const T* h_before;
  const A* c_before;  ///< Null for a GRU, as c_after.
  T* h_after;
  A* c_after;
  T* kept;
  T* y;  ///< (B, T, H).

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const bool runs = step < in.length(row);
    const RecurrentPlace place{row, row * in.time + in.place(row, step)};
    for_each_wide<T>(team, in.width, [&](std::int64_t in_share, auto width) {
      const std::int64_t j = in.first + in_share;
      if (!runs) return rest(place, j, width);
      const auto h = in.cell == Cell::lstm ? lstm(place, j, width) : gru(place, j, width);
      store(h_after + row * in.hidden + j, h);
      store(y + place.at * in.hidden + j, h);
    });
  }

 private:
  template <int n>
  TRIREME_HD void rest(const RecurrentPlace& p, std::int64_t j, Width<n> width) const {
    const std::int64_t here = p.row * in.hidden + j;
    store(h_after + here, load(h_before + here, width));
    if (c_after != nullptr) store(c_after + here, load(c_before + here, width));
    store(y + p.at * in.hidden + j, Pack<A, n>{});
  }
  template <int n>
  TRIREME_HD Pack<A, n> from_input(const RecurrentPlace& p, std::int64_t gate, std::int64_t j, Width<n> width) const {
    return load(projected + (p.row * in.gates() + gate) * in.hidden + j, width);
  }
  template <int n>
  TRIREME_HD Pack<A, n> from_state(const RecurrentPlace& p, std::int64_t gate, std::int64_t j, Width<n> width) const {
    auto product = load(recurrent + (p.row * in.gates() + gate) * in.width + j - in.first, width);
    if (bias == nullptr) return product;
    const auto more = load(bias + gate * in.hidden + j, width);
    for (int k = 0; k < n; ++k) product[k] += more[k];
    return product;
  }
  /// The sigmoid of both products' sum.
  template <int n>
  TRIREME_HD Pack<A, n> gate_of(const RecurrentPlace& p, std::int64_t gate, std::int64_t j, Width<n> width) const {
    auto out = from_input(p, gate, j, width);
    const auto more = from_state(p, gate, j, width);
    for (int k = 0; k < n; ++k) out[k] = sigmoid_of(out[k] + more[k]);
    keep(p, gate, j, out);
    return out;
  }
  template <int n>
  TRIREME_HD void keep(const RecurrentPlace& p, std::int64_t which, std::int64_t j, const Pack<A, n>& value) const {
    store(kept + (p.row * 4 + which) * in.hidden + j, value);
  }
  template <int n>
  TRIREME_HD Pack<A, n> lstm(const RecurrentPlace& p, std::int64_t j, Width<n> width) const {
    const auto i = gate_of(p, 0, j, width), f = gate_of(p, 1, j, width);
    auto g = from_input(p, 2, j, width);
    const auto of_state = from_state(p, 2, j, width);
    for (int k = 0; k < n; ++k) g[k] = tanh_of(g[k] + of_state[k]);
    keep(p, 2, j, g);
    auto out = gate_of(p, 3, j, width), c = load(c_before + p.row * in.hidden + j, width);
    for (int k = 0; k < n; ++k) c[k] = f[k] * c[k] + i[k] * g[k];
    store(c_after + p.row * in.hidden + j, c);
    for (int k = 0; k < n; ++k) out[k] *= tanh_of(c[k]);
    return out;
  }
  template <int n>
  TRIREME_HD Pack<A, n> gru(const RecurrentPlace& p, std::int64_t j, Width<n> width) const {
    const auto r = gate_of(p, 0, j, width), z = gate_of(p, 1, j, width), of_state = from_state(p, 2, j, width);
    auto fresh = from_input(p, 2, j, width), out = load(h_before + p.row * in.hidden + j, width);
    for (int k = 0; k < n; ++k) fresh[k] = tanh_of(fresh[k] + r[k] * of_state[k]);
    keep(p, 2, j, fresh);
    keep(p, 3, j, of_state);
    for (int k = 0; k < n; ++k) out[k] = (1 - z[k]) * fresh[k] + z[k] * out[k];
    return out;
  }
};

/// A row kernel over samples, the gradient of that step. dh, (B, width), is what arrives by the next step's product;
/// carry (in and out) what arrives past it; dc (in and out) the gradient of the cell. Writes the gradients of the gates
/// towards the state (dstate, (B, gates H)), and of a GRU towards the input (dinput, the same). Those of an LSTM are
/// one and may take the place of kept.
template <class T>
struct RecurrentGradient {
  static constexpr const char* name = "recurrent_step_gradient";
  using A = Accum<T>;
  RecurrentSteps in;
  std::int64_t step;
  const T* kept;
  const T* h_before;
  const A* c_before;
  const A* c_after;
  const T* dy;
  const A* dh;
  A* carry;
  A* dc;
  T* dinput;
  T* dstate;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const bool runs = step < in.length(row);
    const std::int64_t at = row * in.time + in.place(row, step);
    for_each_wide<T>(team, in.width, [&](std::int64_t in_share, auto width) {
      const std::int64_t j = in.first + in_share;
      const std::int64_t here = row * in.hidden + j;
      auto arrived = load(dh + row * in.width + in_share, width);
      const auto past = load(static_cast<const A*>(carry + here), width);
      for (int k = 0; k < width; ++k) arrived[k] += past[k];
      if (!runs) return rest(row, j, arrived);
      const auto own = load(dy + at * in.hidden + j, width);
      for (int k = 0; k < width; ++k) arrived[k] += own[k];
      in.cell == Cell::lstm ? lstm(row, j, arrived) : gru(row, j, arrived);
    });
  }

 private:
  template <int n>
  TRIREME_HD void rest(std::int64_t row, std::int64_t j, const Pack<A, n>& arrived) const {
    store(carry + row * in.hidden + j, arrived);
    for (std::int64_t gate = 0; gate < in.gates(); ++gate) {
      to(dstate, row, gate * in.hidden + j, Pack<A, n>{});
      if (in.cell == Cell::gru) to(dinput, row, gate * in.hidden + j, Pack<A, n>{});
    }
  }
  template <int n>
  TRIREME_HD Pack<A, n> found(std::int64_t row, std::int64_t which, std::int64_t j, Width<n> width) const {
    return load(kept + (row * 4 + which) * in.hidden + j, width);
  }
  template <int n>
  TRIREME_HD void to(T* gradient, std::int64_t row, std::int64_t column, const Pack<A, n>& value) const {
    store(gradient + row * in.gates() * in.hidden + column, value);
  }
  template <int n>
  TRIREME_HD void lstm(std::int64_t row, std::int64_t j, const Pack<A, n>& arrived) const {
    constexpr Width<n> width{};
    const std::int64_t here = row * in.hidden + j;
    const auto i = found(row, 0, j, width), f = found(row, 1, j, width), g = found(row, 2, j, width),
               o = found(row, 3, j, width), before = load(c_before + here, width);
    auto t = load(c_after + here, width), of_cell = load(static_cast<const A*>(dc + here), width);
    for (int k = 0; k < n; ++k) t[k] = tanh_of(t[k]);
    for (int k = 0; k < n; ++k) of_cell[k] += arrived[k] * o[k] * (1 - t[k] * t[k]);
    Pack<A, n> slope;
    for (int k = 0; k < n; ++k) slope[k] = of_cell[k] * g[k] * i[k] * (1 - i[k]);
    to(dstate, row, j, slope);
    for (int k = 0; k < n; ++k) slope[k] = of_cell[k] * before[k] * f[k] * (1 - f[k]);
    to(dstate, row, in.hidden + j, slope);
    for (int k = 0; k < n; ++k) slope[k] = of_cell[k] * i[k] * (1 - g[k] * g[k]);
    to(dstate, row, 2 * in.hidden + j, slope);
    for (int k = 0; k < n; ++k) slope[k] = arrived[k] * t[k] * o[k] * (1 - o[k]);
    to(dstate, row, 3 * in.hidden + j, slope);
    for (int k = 0; k < n; ++k) of_cell[k] *= f[k];
    store(dc + here, of_cell);
    store(carry + here, Pack<A, n>{});
  }
  template <int n>
  TRIREME_HD void gru(std::int64_t row, std::int64_t j, Pack<A, n> arrived) const {
    constexpr Width<n> width{};
    const std::int64_t here = row * in.hidden + j;
    const auto r = found(row, 0, j, width), z = found(row, 1, j, width), fresh = found(row, 2, j, width),
               of_state = found(row, 3, j, width), before = load(h_before + here, width);
    Pack<A, n> dn, slope;
    for (int k = 0; k < n; ++k) dn[k] = arrived[k] * (1 - z[k]) * (1 - fresh[k] * fresh[k]);
    for (int k = 0; k < n; ++k) slope[k] = dn[k] * of_state[k] * r[k] * (1 - r[k]);
    for (T* gradient : {dinput, dstate}) to(gradient, row, j, slope);
    for (int k = 0; k < n; ++k) slope[k] = arrived[k] * (before[k] - fresh[k]) * z[k] * (1 - z[k]);
    for (T* gradient : {dinput, dstate}) to(gradient, row, in.hidden + j, slope);
    to(dinput, row, 2 * in.hidden + j, dn);
    for (int k = 0; k < n; ++k) dn[k] *= r[k];
    to(dstate, row, 2 * in.hidden + j, dn);
    for (int k = 0; k < n; ++k) arrived[k] *= z[k];
    store(carry + here, arrived);
  }
};

}  // namespace trireme::kernels
