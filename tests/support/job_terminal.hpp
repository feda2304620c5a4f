// A user at a terminal who submits jobs and looks at them, with a home of their own: every call is `trireme` itself.
#pragma once

#include <string>
#include <vector>

#include "core/base/now.hpp"
#include "core/io/json.hpp"

namespace trireme {

struct Said {
  int code = 0;
  std::string text;  // both outputs
};

class JobTerminal {
 public:
  /// `home` holds the state of the jobs; `prefix` are words before each call ("cluster.sh run head").
  explicit JobTerminal(std::string home, std::vector<std::string> prefix = {})
      : home_(std::move(home)), prefix_(std::move(prefix)) {}
  /// Ends what still runs.
  ~JobTerminal();
  JobTerminal(const JobTerminal&) = delete;
  JobTerminal& operator=(const JobTerminal&) = delete;

  /// A variable of the calls from now on.
  void set(const std::string& name, const std::string& value) { variables_.push_back(name + "=" + value); }
  Said call(const std::vector<std::string>& words) const;
  /// The same without `trireme` in front.
  Said run(const std::vector<std::string>& words) const;
  /// Submits lines of a description; the job's number.
  std::string submit(const std::string& ini);
  Json status(const std::string& job) const;
  /// Looks until `reached` says yes, at most `seconds`; the last status.
  template <class Reached>
  Json wait(const std::string& job, double seconds, const Reached& reached) const;
  /// Until its phase is `phase`, or final.
  Json wait_for(const std::string& job, const std::string& phase, double seconds = 60) const;
  /// The folder of a job.
  std::string folder(const std::string& job) const { return home_ + "/trireme/jobs/" + job; }

 private:
  std::string home_;
  std::vector<std::string> prefix_, variables_;
  std::vector<std::string> jobs_;
  int files_ = 0;
};

bool is_final_phase(const std::string& phase);
void sleep_a_little();

template <class Reached>
Json JobTerminal::wait(const std::string& job, double seconds, const Reached& reached) const {
  const double end = steady_seconds() + seconds;
  Json seen = status(job);
  while (!reached(seen) && steady_seconds() < end) {
    sleep_a_little();
    seen = status(job);
  }
  return seen;
}

}  // namespace trireme
