// Which samples of a source are put aside for the split "test": a pure function of (seed, number of the sample in its
// source), so that the same samples are put aside whatever else is imported or left out.
#pragma once

#include <cstdint>

#include "core/base/error.hpp"
#include "core/base/random.hpp"

namespace trireme {

struct SetAside {
  double fraction = 0;  ///< Of the samples, about; in [0, 1). 0: none.
  std::uint64_t seed = 1;

  bool any() const { return fraction > 0; }
  bool holds(std::int64_t sample) const {
    const std::uint64_t key = random_key("held out", seed);
    const auto bits = philox({static_cast<std::uint32_t>(sample),
                              static_cast<std::uint32_t>(static_cast<std::uint64_t>(sample) >> 32), 0, 0},
                             {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
    return any() && uniform_from(bits[0], bits[1]) < fraction;
  }
  /// ExitCode::usage for a fraction outside [0, 1).
  void check() const {
    if (!(fraction >= 0 && fraction < 1)) fail(ExitCode::usage, "a test part of {} is not in [0, 1)", fraction);
  }
};

}  // namespace trireme
