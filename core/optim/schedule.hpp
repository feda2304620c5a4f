// Learning rate as a pure function of the step, so that a resumed run needs no state for it; and what follows the loss
// of validations: a rate that falls on a plateau, and the end of a training that no longer improves. These have a state
// of two numbers, to be saved.
#pragma once

#include <cstdint>
#include <optional>

namespace trireme {

struct Schedule {
  enum class Kind : std::uint8_t { constant, cosine, step, wsd, linear, polynomial, one_cycle };
  Kind kind = Kind::constant;
  double rate = 1e-3;       ///< The peak.
  std::int64_t warmup = 0;  ///< Steps of linear rise from rate / warmup to rate, for every kind but one_cycle.
  std::int64_t total = 0;   ///< cosine, wsd, linear, polynomial, one_cycle: the step at which `floor` is reached.
  double floor = 0;         ///< The last rate of these.
  std::int64_t decay = 0;   ///< wsd: how many steps before `total` the rate begins to fall, in a straight line.
  std::int64_t every = 0;   ///< step: multiply by `factor` after so many steps.
  double factor = 0.1;
  double power = 2;                 ///< polynomial
  double rise = 0.3, first = 0.04;  ///< one_cycle: the share of all steps that rise, and the first rate over the peak.

  /// The rate of step `step` (from 0). cosine: Loshchilov and Hutter 2017, without restarts. wsd (warm-up, stable,
  /// decay): Hu et al. 2024, arXiv:2404.06395. one_cycle: Smith and Topin 2019, arXiv:1708.07120, both ways by cosines.
  double at(std::int64_t step) const;

 private:
  double one_cycle(std::int64_t step) const;
};

/// The best loss of a row of validations, and how many came after it without a better one.
struct Improvement {
  std::optional<double> best = std::nullopt;
  std::int64_t without = 0;
  /// Takes one loss in. One that is not finite is no improvement.
  void observe(double loss);
};

/// Reduces the rate by `factor` each time `patience` validations in a row brought no better loss.
struct Plateau {
  std::int64_t patience = 0;  ///< 0: never.
  double factor = 0.1;
  struct State {
    Improvement improvement = {};
    double scale = 1;  ///< Of the schedule's rate.
  };
  void observe(State& state, double loss) const;
};

}  // namespace trireme
