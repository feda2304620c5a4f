// When a job that ended is started again: never after codes that mean the same would happen again, and otherwise with
// growing pauses, at most so often in a time, and not at all where several starts in a row brought no new checkpoint.
// Pure: the caller knows clocks and checkpoints.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

struct RestartRules {
  std::int64_t restarts = 10;  // after failures, within `window_seconds`; 0: never
  double window_seconds = 86400;
  double first_delay = 10;  // doubled by each start without progress
  double longest_delay = 600;
  std::int64_t no_progress = 3;  // starts in a row without a new checkpoint
};

/// What the job's earlier starts left.
struct RestartHistory {
  std::vector<double> failures = {};  // when, in seconds, within the window
  std::int64_t newest_step = -1;      // of all whole checkpoints so far; -1: none
  std::int64_t stuck = 0;             // starts in a row that left no newer one
};

struct AttemptEnd {
  int code = 0;
  double time = 0;                // seconds since 1970
  std::int64_t newest_step = -1;  // whole checkpoint
};

struct Decision {
  enum class Next { done, failed, again } next = Next::done;
  double delay = 0;  // before the next start
  int code = 0;      // of the whole job, where it ends here
  std::string reason = {};
};

/// Whether starting again could end in another way (docs/exit_codes.md).
bool worth_another_start(int code);

/// Also brings `history` up to date.
Decision after_attempt(const RestartRules& rules, const AttemptEnd& end, RestartHistory& history);

}  // namespace trireme
