// One step of a recurrent layer, fused: gates, cell and hidden state of every sample from the two products, and its
// gradient. LSTM (Hochreiter, Schmidhuber 1997; with a forget gate, Gers et al. 2000), gates in the order i, f, g, o:
//   c = f c' + i g,  h = o tanh(c)
// GRU (Cho et al. 2014, arXiv:1406.1078, with the reset after the product), gates r, z, n:
//   n = tanh(x_n + r (h' W_n + b_n)),  h = (1 - z) n + z h'
// Rows of different lengths: a sample that has ended keeps its state, its outputs are 0.
#pragma once

#include "core/kernels/math.hpp"
#include "core/kernels/team.hpp"

namespace trireme::kernels {

enum class Cell : std::uint8_t { lstm, gru };

/// What the steps of a pass share. Samples are rows; step s of a sample is time s, or counted from its end backwards.
struct RecurrentSteps {
  std::int64_t time, hidden;
  const std::int32_t* lengths;  ///< (B) or null: all have `time`.
  std::uint32_t reverse;
  Cell cell;

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

/// A row kernel over samples. projected is (B, T, gates H), the input's products; recurrent (B, gates H) the state's;
/// kept (B, 4 H) holds what the gradient needs: the gates of an LSTM, those of a GRU and the state's part of n.
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
    const std::int64_t at = row * in.time + in.place(row, step);
    for (std::int64_t j = team.lane(); j < in.hidden; j += team.lanes()) {
      const std::int64_t here = row * in.hidden + j;
      if (!runs) {
        h_after[here] = h_before[here];
        if (c_after != nullptr) c_after[here] = c_before[here];
        y[at * in.hidden + j] = static_cast<T>(A{0});
      } else {
        const A h = in.cell == Cell::lstm ? lstm(row, at, j) : gru(row, at, j);
        h_after[here] = static_cast<T>(h);
        y[at * in.hidden + j] = static_cast<T>(h);
      }
    }
  }

 private:
  TRIREME_HD A from_input(std::int64_t at, std::int64_t gate, std::int64_t j) const {
    return static_cast<A>(projected[(at * in.gates() + gate) * in.hidden + j]);
  }
  TRIREME_HD A from_state(std::int64_t row, std::int64_t gate, std::int64_t j) const {
    const A product = recurrent[(row * in.gates() + gate) * in.hidden + j];
    return bias != nullptr ? product + static_cast<A>(bias[gate * in.hidden + j]) : product;
  }
  TRIREME_HD void keep(std::int64_t row, std::int64_t j, std::int64_t which, A value) const {
    kept[(row * 4 + which) * in.hidden + j] = static_cast<T>(value);
  }
  TRIREME_HD A lstm(std::int64_t row, std::int64_t at, std::int64_t j) const {
    const A i = sigmoid_of(from_input(at, 0, j) + from_state(row, 0, j));
    const A f = sigmoid_of(from_input(at, 1, j) + from_state(row, 1, j));
    const A g = tanh_of(from_input(at, 2, j) + from_state(row, 2, j));
    const A o = sigmoid_of(from_input(at, 3, j) + from_state(row, 3, j));
    const A c = f * c_before[row * in.hidden + j] + i * g;
    keep(row, j, 0, i), keep(row, j, 1, f), keep(row, j, 2, g), keep(row, j, 3, o);
    c_after[row * in.hidden + j] = c;
    return o * tanh_of(c);
  }
  TRIREME_HD A gru(std::int64_t row, std::int64_t at, std::int64_t j) const {
    const A r = sigmoid_of(from_input(at, 0, j) + from_state(row, 0, j));
    const A z = sigmoid_of(from_input(at, 1, j) + from_state(row, 1, j));
    const A of_state = from_state(row, 2, j);
    const A n = tanh_of(from_input(at, 2, j) + r * of_state);
    keep(row, j, 0, r), keep(row, j, 1, z), keep(row, j, 2, n), keep(row, j, 3, of_state);
    return (1 - z) * n + z * static_cast<A>(h_before[row * in.hidden + j]);
  }
};

/// A row kernel over samples, the gradient of that step. dh is what arrives by the next step's product; carry (in and
/// out) what arrives past it; dc (in and out) the gradient of the cell. Writes the gradients of the gates towards the
/// input (dprojected = beta * dprojected + ...) and towards the state (dstate, (B, gates H)).
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
  T* dprojected;
  T* dstate;
  A beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const bool runs = step < in.length(row);
    const std::int64_t at = row * in.time + in.place(row, step);
    for (std::int64_t j = team.lane(); j < in.hidden; j += team.lanes()) {
      const std::int64_t here = row * in.hidden + j;
      A arrived = dh[here] + carry[here];
      if (!runs) {
        carry[here] = arrived;
        for (std::int64_t gate = 0; gate < in.gates(); ++gate) write({row, at, gate, j}, 0, 0);
      } else {
        arrived += static_cast<A>(dy[at * in.hidden + j]);
        in.cell == Cell::lstm ? lstm({row, at, 0, j}, arrived) : gru({row, at, 0, j}, arrived);
      }
    }
  }

 private:
  struct Place {
    std::int64_t row, at, gate, j;
    TRIREME_HD Place of(std::int64_t number) const { return {row, at, number, j}; }
  };
  TRIREME_HD A found(const Place& p, std::int64_t which) const {
    return static_cast<A>(kept[(p.row * 4 + which) * in.hidden + p.j]);
  }
  TRIREME_HD void write(const Place& p, A to_input, A to_state) const {
    T* const out = dprojected + (p.at * in.gates() + p.gate) * in.hidden + p.j;
    *out = static_cast<T>(beta == 0 ? to_input : to_input + beta * static_cast<A>(*out));
    dstate[(p.row * in.gates() + p.gate) * in.hidden + p.j] = static_cast<T>(to_state);
  }
  TRIREME_HD void lstm(const Place& p, A arrived) const {
    const std::int64_t here = p.row * in.hidden + p.j;
    const A i = found(p, 0), f = found(p, 1), g = found(p, 2), o = found(p, 3), t = tanh_of(c_after[here]);
    const A of_cell = dc[here] + arrived * o * (1 - t * t);
    const A slopes[4] = {of_cell * g * i * (1 - i), of_cell * c_before[here] * f * (1 - f), of_cell * i * (1 - g * g),
                         arrived * t * o * (1 - o)};
    for (std::int64_t gate = 0; gate < 4; ++gate) write(p.of(gate), slopes[gate], slopes[gate]);
    dc[here] = of_cell * f;
    carry[here] = 0;
  }
  TRIREME_HD void gru(const Place& p, A arrived) const {
    const std::int64_t here = p.row * in.hidden + p.j;
    const A r = found(p, 0), z = found(p, 1), n = found(p, 2), of_state = found(p, 3);
    const A dn = arrived * (1 - z) * (1 - n * n);
    const A dz = arrived * (static_cast<A>(h_before[here]) - n) * z * (1 - z), dr = dn * of_state * r * (1 - r);
    write(p.of(0), dr, dr), write(p.of(1), dz, dz), write(p.of(2), dn, dn * r);
    carry[here] = arrived * z;
  }
};

}  // namespace trireme::kernels
