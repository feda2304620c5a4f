// When the next checkpoint is due. Only the leading rank asks it; the answer travels with the step's message, so all
// ranks save after the same step.
#pragma once

#include <cstdint>

#include "launcher/run/checkpoint_options.hpp"

namespace trireme {

/// Young 1974, "A first order approximation to the optimum checkpoint interval": sqrt(2 x cost x mean time between
/// failures), in seconds.
double young_interval(double cost_seconds, double mtbf_seconds);

class SaveClock {
 public:
  struct Settings {
    SaveInterval interval;
    double mtbf_seconds = 86400;
    double time_limit = 0;       ///< Seconds from `start` on; 0: none.
    double guessed_cost = 0.25;  ///< Seconds a save holds the training up, until one was measured.
  };
  /// Times are seconds of one monotonic clock; training begins at `start`.
  SaveClock(const Settings& settings, double start) : settings_(settings), start_(start), last_(start) {}

  /// Whether to save after step number `step`.
  bool due(std::int64_t step, double now) const;
  /// Whether to save and end, so that a save still fits into the time limit.
  bool out_of_time(double now) const;
  /// A save began at `now`.
  void began(double now) { last_ = now; }
  /// It held the training up for `cost` and took `total` seconds to be on the disk.
  void measured(double cost, double total);
  /// The longest step so far counts into the reserve before the limit.
  void stepped(double seconds);
  /// Seconds between saves; 0 where they are not by time.
  double interval_seconds() const;

 private:
  Settings settings_;
  double start_ = 0, last_ = 0;
  double cost_ = -1, total_ = -1, longest_step_ = 0;
};

}  // namespace trireme
