// Where submitted jobs are remembered: a folder per job under $XDG_STATE_HOME/trireme/jobs (~/.local/state without it),
// readable by its owner only. Each file in it is written whole by rename; the process that runs the job holds the
// folder's lock (run_lock.hpp), on which others see that it is alive, and is the only one to write its state then.
//   job.ini      the description as it was resolved         output.log   what the job said, all starts
//   state.json   JobState                                   runner.log   what the runner itself said
//   cancel       there once somebody asked for the end      start-K/     logs of the ranks of the K-th start
//   slurm_id     the job's number at Slurm                  batch.sh     what sbatch was given
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/job/job_description.hpp"
#include "launcher/job/restart_policy.hpp"

namespace trireme {

/// `pausing`: until the next start. `requeued`: Slurm will start it again. The last three are final.
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

class JobFolder {
 public:
  JobFolder(std::string path, std::int64_t id) : path_(std::move(path)), id_(id) {}

  const std::string& path() const { return path_; }
  std::int64_t id() const { return id_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string start_folder(std::int64_t start) const;

  /// corrupt_input where the file is no state.
  JobState state() const;
  void write(const JobState& state) const;
  void write_text(const std::string& name, const std::string& text) const;
  /// Nothing where there is no such file.
  std::optional<std::string> text(const std::string& name) const;
  void remove(const std::string& name) const;

  void read(JobDescription& job) const;
  bool asked_to_end() const { return text("cancel").has_value(); }
  /// Who runs the job now (run_owner).
  std::optional<std::string> runner() const;

 private:
  std::string path_;
  std::int64_t id_;
};

class JobStore {
 public:
  /// The user's, made on first use. Usage error where neither XDG_STATE_HOME nor HOME is an absolute path.
  JobStore() : JobStore(usual_folder()) {}
  explicit JobStore(std::string folder) : folder_(std::move(folder)) {}
  static std::string usual_folder();

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

double seconds_since_1970();

}  // namespace trireme
