// Updates that look at a whole parameter: its norm (LAMB, Adafactor) or its matrix (Muon). Each goes in steps over the
// elements of one parameter: the scaled gradient, a direction, norms (SquaredNorm of optimizer.hpp), a pace, and the
// update. All arithmetic is in A, f32 or f64. A step that is skipped leaves values and moments as they are.
#pragma once

#include <cmath>

#include "core/kernels/team.hpp"
#include "core/tape/step_state.hpp"

namespace trireme::kernels {

/// An element kernel: out = gradient_scale * grad.
template <class A, class Grad>
struct ScaledGradient {
  static constexpr const char* name = "scaled_gradient";
  static constexpr int pack = pack_width<A>, serial_pack = pack;
  const Grad* grad;
  A* out;
  const StepState* state;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    const auto factor = static_cast<A>(state->gradient_scale);
    for (int k = 0; k < W{}; ++k) out[i + k] = static_cast<A>(grad[i + k]) * factor;
  }
};

/// An element kernel: Adam's moments and LAMB's direction m^ / (sqrt(v^) + epsilon) + decay * value, in place of the
/// gradient (You et al. 2020, arXiv:1904.00962). log_beta1 and log_beta2 are logarithms.
template <class A>
struct LambDirection {
  static constexpr const char* name = "lamb_direction";
  static constexpr int pack = pack_width<A>, serial_pack = 64;
  A* gradient;
  const A* value;
  A* moment1;
  A* moment2;
  const StepState* state;
  A beta1, beta2, epsilon, decay;
  double log_beta1, log_beta2;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    if (state->skip != 0) return;
    const auto t = static_cast<double>(state->step + 1);
    const auto of_m = static_cast<A>(-1 / std::expm1(t * log_beta1));
    const auto of_v = static_cast<A>(-1 / std::expm1(t * log_beta2));
    for (std::int64_t k = i; k < i + W{}; ++k) {
      const A g = gradient[k];
      const A m = moment1[k] = beta1 * moment1[k] + (1 - beta1) * g;
      const A v = moment2[k] = beta2 * moment2[k] + (1 - beta2) * g * g;
      gradient[k] = m * of_m / (std::sqrt(v * of_v) + epsilon) + decay * value[k];
    }
  }
};

/// How much of a new value Adafactor's averages take at step t: t^power (Shazeer, Stern 2018, arXiv:1804.04235).
template <class A>
TRIREME_HD A adafactor_share(const StepState* state, double power) {
  return static_cast<A>(std::pow(static_cast<double>(state->step + 1), power));
}

/// A row kernel over the rows of a matrix: the average of squares of each row.
template <class A>
struct AdafactorRows {
  static constexpr const char* name = "adafactor_rows";
  const A* gradient;
  A* rows;
  const StepState* state;
  std::int64_t columns;
  double power;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    A squares = 0;
    for (std::int64_t c = team.lane(); c < columns; c += team.lanes())
      squares += gradient[row * columns + c] * gradient[row * columns + c];
    const A mean = team.sum(squares) / static_cast<A>(columns);
    if (team.lane() == 0 && state->skip == 0) rows[row] += adafactor_share<A>(state, power) * (mean - rows[row]);
  }
};

/// An element kernel over its columns: the same of each column.
template <class A>
struct AdafactorColumns {
  static constexpr const char* name = "adafactor_columns";
  static constexpr int pack = pack_width<A>, serial_pack = pack;
  const A* gradient;
  A* columns;
  const StepState* state;
  std::int64_t rows, width;
  double power;
  template <class W>
  TRIREME_HD void operator()(std::int64_t c, W) const {
    if (state->skip != 0) return;
    Pack<A, W{}> squares;
    for (std::int64_t row = 0; row < rows; ++row)
      for (int k = 0; k < W{}; ++k) squares[k] += gradient[row * width + c + k] * gradient[row * width + c + k];
    const A share = adafactor_share<A>(state, power);
    for (int k = 0; k < W{}; ++k) columns[c + k] += share * (squares[k] / static_cast<A>(rows) - columns[c + k]);
  }
};

/// A row kernel of one row: the mean of the rows' averages.
template <class A>
struct AdafactorMean {
  static constexpr const char* name = "adafactor_mean";
  const A* rows;
  A* mean;
  std::int64_t count;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t) const {
    double mine = 0;
    for (std::int64_t k = team.lane(); k < count; k += team.lanes()) mine += static_cast<double>(rows[k]);
    const double total = team.sum(mine);
    if (team.lane() == 0) *mean = static_cast<A>(total / static_cast<double>(count));
  }
};

/// An element kernel: the gradient divided by the root of its variance, rows * columns / mean, in its place. A
/// parameter that is no matrix (columns null) keeps an average of squares per element in `rows`.
template <class A>
struct AdafactorDirection {
  static constexpr const char* name = "adafactor_direction";
  static constexpr int pack = 1, serial_pack = 1;
  A* gradient;
  A* rows;
  const A* columns;
  const A* mean;
  const StepState* state;
  std::int64_t width;
  double power;
  A epsilon;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    if (state->skip != 0) return;
    const A g = gradient[i];
    A variance = 0;
    if (columns != nullptr) {
      variance = rows[i / width] * columns[i % width] / (*mean > epsilon ? *mean : epsilon);
    } else {
      variance = rows[i] += adafactor_share<A>(state, power) * (g * g - rows[i]);
    }
    const A least = epsilon * epsilon;
    gradient[i] = g / std::sqrt(variance > least ? variance : least);
  }
};

/// An element kernel: momentum as an average, and Muon's direction before it is made orthogonal, in place of the
/// gradient. nesterov is 0 or 1.
template <class A>
struct MuonMoment {
  static constexpr const char* name = "muon_moment";
  static constexpr int pack = pack_width<A>, serial_pack = pack;
  A* gradient;
  A* moment;
  const StepState* state;
  A momentum;
  std::uint32_t nesterov;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    if (state->skip != 0) return;
    for (std::int64_t k = i; k < i + W{}; ++k) {
      const A g = gradient[k], m = moment[k] += (1 - momentum) * (g - moment[k]);
      gradient[k] = nesterov != 0 ? g + momentum * (m - g) : m;
    }
  }
};

/// What the pace of a whole parameter is found from.
enum class Pace : std::uint8_t {
  lamb,       ///< rate * |value| / |direction|; rate where one is 0.
  adafactor,  ///< min(rate, 1 / sqrt(t)) * max(1e-3, rms(value)) / max(1, rms(direction)).
  inverse     ///< 1 / (|direction| + 1e-7).
};

/// A row kernel of one row: adds up partial sums of squares and writes the pace.
template <class A>
struct FindPace {
  static constexpr const char* name = "find_pace";
  const double* of_value;
  const double* of_direction;
  A* pace;
  const StepState* state;
  std::int64_t partials, elements;
  double rate_factor;
  Pace kind;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t) const {
    double v = 0, d = 0;
    for (std::int64_t k = team.lane(); k < partials; k += team.lanes()) {
      v += of_value[k];
      d += of_direction[k];
    }
    const double value = std::sqrt(team.sum(v)), direction = std::sqrt(team.sum(d));
    if (team.lane() == 0) *pace = static_cast<A>(found(value, direction));
  }

 private:
  TRIREME_HD double found(double value, double direction) const {
    const double rate = state->rate * rate_factor;
    if (kind == Pace::inverse) return 1 / (direction + 1e-7);
    if (kind == Pace::lamb) return value > 0 && direction > 0 ? rate * value / direction : rate;
    const double root = std::sqrt(static_cast<double>(elements)), rms = direction / root;
    const double most = 1 / std::sqrt(static_cast<double>(state->step + 1));
    const double size = value / root > 1e-3 ? value / root : 1e-3;
    return (rate < most ? rate : most) * size / (rms > 1 ? rms : 1);
  }
};

/// An element kernel: x *= factor[0].
template <class A>
struct ScaleBy {
  static constexpr const char* name = "scale_by";
  static constexpr int pack = pack_width<A>, serial_pack = pack;
  A* x;
  const A* factor;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    for (int k = 0; k < W{}; ++k) x[i + k] *= *factor;
  }
};

/// An element kernel: value = (1 - rate * decay) * value - pace * direction, and its rounded copy where parameters have
/// 16 bits. Without a pace it is rate * pace_factor.
template <class Param>
struct ApplyDirection {
  using A = Accum<Param>;
  static constexpr const char* name = "apply_direction";
  static constexpr int pack = pack_width<A>, serial_pack = pack;
  A* master;
  Param* param;
  const A* direction;
  const A* pace;
  const StepState* state;
  double rate_factor, pace_factor;
  A decay;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    if (state->skip != 0) return;
    const double rate = state->rate * rate_factor;
    const A by = pace != nullptr ? *pace : static_cast<A>(rate * pace_factor);
    const A keep = 1 - static_cast<A>(rate) * decay;
    for (std::int64_t k = i; k < i + W{}; ++k) {
      master[k] = keep * master[k] - by * direction[k];
      if constexpr (!std::is_same_v<A, Param>) param[k] = static_cast<Param>(master[k]);
    }
  }
};

/// An element kernel: average = decay * average + (1 - decay) * value, unless the step is skipped.
template <class A>
struct AverageWeights {
  static constexpr const char* name = "average_weights";
  static constexpr int pack = pack_width<A>, serial_pack = pack;
  const A* value;
  A* average;
  const StepState* state;
  A decay;
  template <class W>
  TRIREME_HD void operator()(std::int64_t i, W) const {
    if (state->skip != 0) return;
    for (std::int64_t k = i; k < i + W{}; ++k) average[k] += (1 - decay) * (value[k] - average[k]);
  }
};

}  // namespace trireme::kernels
