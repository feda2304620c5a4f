// `trireme job-run FOLDER`: runs a submitted job from its folder, start after start, until it is done, given up or
// asked to end. It is started in the background by `trireme submit`, or by Slurm as the job's script, and again by the
// job's agent (job_agent.hpp); it needs no terminal and is the parent of `trireme launch`, which ends the ranks when it
// dies.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "launcher/job/job_store.hpp"

namespace trireme {

int job_run_command(std::span<const std::string> args);

/// The step of the newest checkpoint in a run folder; -1 where there is none.
std::int64_t newest_checkpoint(const std::string& run_folder);

}  // namespace trireme
