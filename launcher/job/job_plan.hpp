// The exact commands of a job: what starts its ranks, and what sbatch is given. Pure. Values are words of a command or
// variables, never part of a script's text.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "launcher/job/job_description.hpp"

namespace trireme {

/// Where a job's files lie and who runs it.
struct JobPlace {
  std::string folder;               // the job's
  std::string trireme = "trireme";  // this program, as every host finds it
  std::int64_t id = 0;
};

/// The words of `trireme launch` for a start, without the word trireme. The hosts are those where the job would be
/// placed alone: all of them, where its list is a placement.
std::vector<std::string> launch_words(const JobDescription& job, const JobPlace& place, std::int64_t start);

/// sbatch with its words. Slurm carries only `variables` of this process' environment to the job.
std::vector<std::string> sbatch_words(const JobDescription& job, const JobPlace& place,
                                      const std::vector<std::string>& variables);

/// The script of every job: it becomes the command that its arguments are.
extern const char* const batch_script;

/// What runs a job from its folder, in the background or as Slurm's script.
std::vector<std::string> runner_words(const JobPlace& place);

/// Names of the variables that a job sees, of those set here: the usual ones of a login, the ones that steer MPI,
/// OpenMP, CUDA and the project's programs, and those that the description names.
std::vector<std::string> visible_variables(const JobDescription& job, const char* const* environment);

/// The commands, one a line, as a POSIX shell reads them back; comments between them say what they are.
std::string preview(const JobDescription& job, const JobPlace& place, const std::vector<std::string>& variables);

}  // namespace trireme
