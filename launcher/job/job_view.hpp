// How a submitted job stands, put together from its folder, its run's metrics and checkpoints, and Slurm.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/io/json.hpp"
#include "launcher/job/job_store.hpp"
#include "launcher/job/slurm.hpp"

namespace trireme {

/// What the run's own files say.
struct RunProgress {
  std::int64_t step = 0;   // the last one in metrics.jsonl; 0: none yet
  std::int64_t steps = 0;  // of the whole run; 0: not said
  double loss = 0, samples_per_second = 0;
  double seconds_to_go = -1;     // negative: unknown
  std::int64_t checkpoint = -1;  // step of the newest; -1: none
  double checkpoint_age = 0;     // seconds
  double elapsed = 0;            // seconds of the run itself, over all starts
};
/// Nothing where the folder is not there (yet) or unreadable.
std::optional<RunProgress> read_progress(const std::string& run_folder);

struct JobView {
  JobDescription job;
  JobState state;
  std::string phase;   // of the state, or "waiting" (for Slurm or the queue), "lost" where nobody runs it any more, or
                       // "cancelled" where Slurm ended it and has not queued it again
  std::string reason;  // why it waits or ended
  std::string place;   // who runs it, where that is known
  std::string cause = {};  // of the end of its last start that failed: "start 2: rank 1 on a was killed by SIGKILL (9)"
  std::string slurm_id = {};
  std::string hosts = {};  // of a list, where the queue has placed it: "a, b"
  std::optional<RunProgress> progress = {};
  std::optional<double> effective = {};  // part of the time in which the run got on

  /// Nobody runs it, and nobody will unless it is resumed.
  bool is_abandoned() const { return phase == "lost" || phase == to_text(JobPhase::cancelled); }
};

JobView look_at_job(const JobFolder& folder);

/// For people, a fact a line.
std::string describe(const JobFolder& folder, const JobView& view);
/// For programs.
Json to_json(const JobFolder& folder, const JobView& view);

}  // namespace trireme
