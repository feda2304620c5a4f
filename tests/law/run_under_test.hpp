// A training run of resume_probe for tests that stop, kill, damage and resume it: how it is started, what it has
// written so far, and which process is which rank.
#pragma once

#include <signal.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "launcher/run/checkpoint_manifest.hpp"

namespace trireme {

/// One started mpirun with its ranks, in a process group of its own; ended with everything in it by the destructor.
class StartedJob {
 public:
  StartedJob(int ranks, const std::string& arguments, const std::string& log);
  ~StartedJob();
  StartedJob(const StartedJob&) = delete;
  StartedJob& operator=(const StartedJob&) = delete;

  /// The exit status once it has ended; -1 while it runs.
  int poll();
  /// Waits for the end, at most two minutes; 128 + n for signal n, as shells say it.
  int wait();
  /// Process ids of the ranks that run now, by rank.
  std::map<int, int> rank_pids() const;
  /// Looks again and again until `condition` holds (true) or the job has ended (false).
  bool wait_until(const std::function<bool()>& condition);
  int mpirun_pid() const { return pid_; }
  std::string log_text() const;

 private:
  int pid_ = -1;
  int status_ = -1;
  std::string log_;
};

/// The probe's data set, made once per process.
const std::string& probe_data();

/// A run folder and what is in it.
class RunUnderTest {
 public:
  explicit RunUnderTest(std::string folder) : folder_(std::move(folder)) {}
  const std::string& folder() const { return folder_; }
  /// Runs the job to its end and returns its exit code.
  int run(int ranks, const std::string& arguments) const;
  StartedJob start(int ranks, const std::string& arguments) const;
  /// What the last job printed.
  std::string log_text() const;

  /// Step numbers and losses of metrics.jsonl, in file order, as they stand there.
  std::vector<std::pair<std::int64_t, std::string>> steps() const;
  /// The same of the validations.
  std::vector<std::pair<std::int64_t, std::string>> validations() const;
  bool finished() const;
  /// Records of kind `event` and name `event`.
  std::vector<std::string> events(const std::string& event) const;
  std::vector<std::int64_t> checkpoints() const;
  bool save_in_progress() const;
  std::string checkpoint(std::int64_t step) const { return folder_ + "/checkpoints/" + checkpoint_name(step); }

 private:
  std::vector<std::pair<std::int64_t, std::string>> losses_of(const std::string& kind) const;
  std::string folder_;
};

/// The bytes of every tensor of a checkpoint by label, after all checksums were checked.
std::map<std::string, std::vector<std::byte>> tensors_of(const std::string& checkpoint);

}  // namespace trireme
