// What a run can be told about checkpoints: when to save, how many to keep, where to start from. Also the text forms
// of intervals and durations.
#pragma once

#include <cstdint>
#include <string>

#include "launcher/run/checkpoint_store.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

/// "1500" or "90s": seconds; "10m", "2h", "1d", "1h30m". ExitCode::usage, naming `option`, for anything else.
double parse_duration(const std::string& text, const std::string& option);

/// When checkpoints are due.
struct SaveInterval {
  enum class Kind : std::uint8_t { off, steps, seconds, automatic };
  Kind kind = Kind::automatic;
  double value = 0;  ///< Steps or seconds.
  /// "off", "auto", a number of steps ("500") or a duration with its unit ("10m").
  static SaveInterval parse(const std::string& text);
};

struct CheckpointOptions {
  std::string every = "auto";
  double mtbf_hours = 24;  ///< Mean time between failures of the whole job, for "auto".
  bool in_background = false;
  std::int64_t keep_last = 2;
  std::int64_t keep_every = 0;
  std::string resume = "auto";  ///< auto, never, or a path.
  std::string init_from = {};
  std::string max_time = {};  ///< A duration; empty: no limit.
  bool other_data = false;    ///< Resume although the training data is another.

  void declare(OptionSet& options);
  SaveInterval interval() const { return SaveInterval::parse(every); }
  KeepRule keep() const { return {.last = keep_last, .every = keep_every}; }
  /// Seconds; 0: no limit.
  double time_limit() const;
};

}  // namespace trireme
