// How far another machine's clock is from this one's, by round trips as NTP does it (RFC 5905, section 8): the answer
// was written between the question and its arrival, so half of the shortest round trip bounds the error.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace trireme {

/// Nanoseconds: this clock before the question and after the answer, the other one's in between.
struct ClockSample {
  std::int64_t asked = 0, there = 0, answered = 0;
};

/// Seconds that the other clock is ahead; the true value is within `uncertainty` of it.
struct ClockSkew {
  double seconds = 0, uncertainty = 0;
};

/// Nothing without a sample whose answer came after its question.
std::optional<ClockSkew> estimate_skew(std::span<const ClockSample> samples);

/// Of this machine, since 1970.
std::int64_t clock_nanoseconds();

}  // namespace trireme
