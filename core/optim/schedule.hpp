// Learning rate as a pure function of the step, so that a resumed run needs no state for it.
#pragma once

#include <cstdint>

namespace trireme {

struct Schedule {
  enum class Kind : std::uint8_t { constant, cosine, step, wsd };
  Kind kind = Kind::constant;
  double rate = 1e-3;       ///< The peak.
  std::int64_t warmup = 0;  ///< Steps of linear rise from rate / warmup to rate, for every kind.
  std::int64_t total = 0;   ///< cosine, wsd: the step at which `floor` is reached (and kept).
  double floor = 0;         ///< cosine, wsd: the last rate.
  std::int64_t decay = 0;   ///< wsd: how many steps before `total` the rate begins to fall, in a straight line.
  std::int64_t every = 0;   ///< step: multiply by `factor` after so many steps.
  double factor = 0.1;

  /// The rate of step `step` (from 0). cosine: Loshchilov and Hutter 2017, without restarts. wsd (warm-up, stable,
  /// decay): Hu et al. 2024, arXiv:2404.06395.
  double at(std::int64_t step) const;
};

}  // namespace trireme
