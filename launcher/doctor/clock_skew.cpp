#include "launcher/doctor/clock_skew.hpp"

#include <chrono>

namespace trireme {

std::optional<ClockSkew> estimate_skew(std::span<const ClockSample> samples) {
  const ClockSample* best = nullptr;
  for (const ClockSample& one : samples) {
    if (one.answered < one.asked) continue;  // this clock was set meanwhile
    if (best == nullptr || one.answered - one.asked < best->answered - best->asked) best = &one;
  }
  if (best == nullptr) return std::nullopt;
  const double half = static_cast<double>(best->answered - best->asked) / 2;
  return ClockSkew{.seconds = (static_cast<double>(best->there - best->asked) - half) * 1e-9,
                   .uncertainty = half * 1e-9};
}

std::int64_t clock_nanoseconds() {
  using std::chrono::nanoseconds;
  return std::chrono::duration_cast<nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace trireme
