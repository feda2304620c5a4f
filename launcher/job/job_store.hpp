// Where submitted jobs are remembered: a folder per job under $XDG_STATE_HOME/trireme/jobs (~/.local/state without it),
// readable by its owner only. Each file in it is written whole by rename; the process that runs the job holds the
// folder's lock (run_lock.hpp), on which others see that it is alive, and is the only one to write its state then.
//   job.ini      the description as it was resolved         output.log   what the job said, all starts
//   cancel       how often somebody asked for the end       runner.log   what the runner itself said
//   lock         of the runner                              start-K/     logs of the ranks of the K-th start
//   agent/lock   of the agent (job_agent.hpp)               ranks/lock   of the ranks (ranks_lock.hpp)
//   slurm_id     the job's number at Slurm                  batch.sh     what sbatch was given
//   state.json   JobState of a job at Slurm, whose runner may be on any host; all others have theirs in jobs.db
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/job/job_description.hpp"
#include "launcher/job/job_state.hpp"

namespace trireme {

class JobFolder {
 public:
  JobFolder(std::string path, std::int64_t id) : path_(std::move(path)), id_(id) {}

  const std::string& path() const { return path_; }
  std::int64_t id() const { return id_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string start_folder(std::int64_t start) const;

  /// corrupt_input where there is none, or it is damaged.
  JobState state() const;
  void write(const JobState& state) const;
  /// The first state of a job, or of one that begins anew: from here on it is kept where its back end has it.
  void begin(const JobDescription& job, const JobState& state) const;
  void write_text(const std::string& name, const std::string& text) const;
  /// Nothing where there is no such file.
  std::optional<std::string> text(const std::string& name) const;
  void remove(const std::string& name) const;

  void read(JobDescription& job) const;
  /// How often somebody asked for its end.
  int asked_to_end() const;
  void ask_to_end() const;
  /// Who runs the job now (run_owner).
  std::optional<std::string> runner() const;
  /// That of all jobs, which holds the data base.
  std::string jobs_folder() const;

 private:
  bool keeps_state() const;
  std::string path_;
  std::int64_t id_;
};

class JobStore {
 public:
  /// The user's, made on first use. Usage error where neither XDG_STATE_HOME nor HOME is an absolute path.
  JobStore() : JobStore(usual_folder()) {}
  explicit JobStore(std::string folder) : folder_(std::move(folder)) {}
  static std::string usual_folder();
  const std::string& folder() const { return folder_; }

  /// A new one with the next free number.
  JobFolder create() const;
  /// Usage error, with what there is, for a word that is no job's number.
  JobFolder open(const std::string& id) const;
  /// Oldest first.
  std::vector<JobFolder> list() const;

 private:
  std::vector<std::int64_t> numbers() const;
  std::string folder_;
};

}  // namespace trireme
