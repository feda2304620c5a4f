// Dynamic loss scaling (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2): backward in f16 begins with a factor
// that lifts small gradients above what f16 can hold, and the update takes it out again. The factor is searched: each
// step whose gradients overflow is given up and the factor halved, and after many steps without one it is doubled.
#pragma once

#include <algorithm>
#include <cstdint>

namespace trireme {

/// The factor and how long it has held; all there is to save. Without scaling it stays as it begins.
struct LossScale {
  double value = 1;
  std::int64_t steps = 0;  ///< Used since the value last changed.
};

struct LossScaling {
  double first = 65536;
  std::int64_t interval = 2000;  ///< Steps without overflow after which the factor is doubled.
  static constexpr double largest = 16777216, smallest = 1;

  LossScale begin() const { return {.value = first}; }
  /// After a step whose gradients were finite.
  LossScale after_use(LossScale scale) const {
    if (++scale.steps < interval) return scale;
    return {.value = std::min(2 * scale.value, largest)};
  }
  /// After a step whose gradients were not.
  static LossScale after_overflow(const LossScale& scale) { return {.value = scale.value / 2}; }
  /// Gradients that overflow at this factor are not too large for f16 because of it.
  static bool is_exhausted(const LossScale& scale) { return scale.value < smallest; }
};

}  // namespace trireme
