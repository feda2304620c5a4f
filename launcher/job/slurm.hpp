// The calls to Slurm, through its own commands, each with a time limit.
#pragma once

#include <string>
#include <vector>

namespace trireme {

/// Runs sbatch's words and returns the job's number. Error with sbatch's own words where it refuses.
std::string submit_to_slurm(const std::vector<std::string>& sbatch);

struct SlurmView {
  std::string state = {};    // "PENDING", "RUNNING", ...; empty: Slurm does not know the job (any more)
  std::string reason = {};   // why it waits: "Resources", "Priority", "BeginTime"; "None"
  std::string start = {};    // when it is expected to start, where Slurm says
  std::string problem = {};  // why Slurm could not be asked; the others are empty then
};
SlurmView ask_slurm(const std::string& id);

/// A signal to the job's script; to a job that waits, its removal. Errors with Slurm's words.
void signal_slurm_job(const std::string& id, const std::string& signal);
void cancel_slurm_job(const std::string& id);
void requeue_slurm_job(const std::string& id);

}  // namespace trireme
