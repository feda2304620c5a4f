#include "launcher/run/save_clock.hpp"

#include <algorithm>
#include <cmath>

namespace trireme {

double young_interval(double cost_seconds, double mtbf_seconds) { return std::sqrt(2 * cost_seconds * mtbf_seconds); }

double SaveClock::interval_seconds() const {
  if (settings_.interval.kind == SaveInterval::Kind::seconds) return settings_.interval.value;
  if (settings_.interval.kind != SaveInterval::Kind::automatic) return 0;
  const double cost = cost_ >= 0 ? cost_ : settings_.guessed_cost;
  // The formula assumes that a save is cheap against its interval; below ten costs it would be most of the run.
  return std::max({young_interval(cost, settings_.mtbf_seconds), 10 * cost, 1.0});
}

bool SaveClock::due(std::int64_t step, double now) const {
  switch (settings_.interval.kind) {
    case SaveInterval::Kind::off:
      return false;
    case SaveInterval::Kind::steps:
      return step % static_cast<std::int64_t>(settings_.interval.value) == 0;
    case SaveInterval::Kind::seconds:
    case SaveInterval::Kind::automatic:
      break;
  }
  return now - last_ >= interval_seconds();
}

bool SaveClock::out_of_time(double now) const {
  if (settings_.time_limit <= 0) return false;
  const double save = std::max(total_ >= 0 ? total_ : 4 * settings_.guessed_cost, 0.5);
  return now + 2 * longest_step_ + 2 * save >= start_ + settings_.time_limit;
}

void SaveClock::measured(double cost, double total) {
  cost_ = cost_ < 0 ? cost : 0.5 * (cost_ + cost);
  total_ = std::max(total_, total);
}

void SaveClock::stepped(double seconds) { longest_step_ = std::max(longest_step_, seconds); }

}  // namespace trireme
