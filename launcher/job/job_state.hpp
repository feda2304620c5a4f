// How a submitted job stands, as its runner last wrote it, and that as JSON.
#pragma once

#include <cstdint>
#include <string>

#include "core/io/json.hpp"
#include "launcher/job/restart_policy.hpp"

namespace trireme {

/// `queued`: waits for its slots, or was submitted a moment ago. `pausing`: until the next start. `requeued`: Slurm
/// will start it again. The last three are final.
enum class JobPhase { queued, running, pausing, requeued, done, failed, cancelled };

std::string to_text(JobPhase phase);
bool is_final(JobPhase phase);

struct JobState {
  JobPhase phase = JobPhase::queued;
  std::int64_t starts = 0;
  int code = 0;  // of the last start that ended
  std::string reason = {};
  std::string host = {};  // of the runner
  std::int64_t process = 0;
  double submitted = 0, started = 0, ended = 0, next_start = 0;  // seconds since 1970
  RestartHistory history = {};
};

std::string to_json_text(const JobState& state);
/// `path` names the text in messages. corrupt_input where it is no state.
JobState job_state_from(const std::string& text, const std::string& path);

double seconds_since_1970();

}  // namespace trireme
