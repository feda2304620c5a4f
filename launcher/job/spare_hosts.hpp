// Where a job of a list of hosts starts, and starts again. Before each start its hosts are asked over ssh, as mpirun
// will, whether they are there. One that is not, or that the last start lost, is left out for half an hour: a free host
// of the list takes its place, or the job goes on with fewer, where it allows that.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launcher/job/job_database.hpp"
#include "launcher/job/job_description.hpp"
#include "launcher/job/job_store.hpp"

namespace trireme {

constexpr double left_out_seconds = 1800;

struct SilentHost {
  std::string name, why;   // in the words of ssh
  bool may_return = true;  // false: it is there, or it is none, and somebody has to set up something
};

/// Called while something is waited for, and waits a little itself; false: nobody wants to know any more.
using GoOn = std::function<bool()>;

/// Seconds for a connection, and for all that `ssh HOST true` does.
struct AskLimits {
  double connection = 10, answer = 30;
};

/// Those of `names` that ssh does not reach, this machine aside; a bunch is asked at once, and once more where they
/// turned it away. Empty where `go_on` said no.
std::vector<SilentHost> silent_hosts(const std::vector<std::string>& names, const AskLimits& limits, const GoOn& go_on);

class SpareHosts {
 public:
  SpareHosts(const JobFolder& folder, const JobDescription& job) : folder_(folder), job_(job) {}

  /// A start of the job lost it; `host` is its own name. This machine is never left out.
  void leave_out(const std::string& host) const;

  struct Found {
    std::optional<JobPlacement> place = {};  // nothing: it has none any more
    std::vector<SilentHost> silent = {};     // hosts of the place
    std::vector<SilentHost> left = {};       // others that did not answer
  };
  /// A place of hosts that answer, as far as there are such. Throws Error of the data base.
  Found look(const GoOn& go_on) const;
  /// Others may have the slots until the job is placed again: while it waits for a host it needs none.
  void give_back() const { JobDatabase(folder_.jobs_folder()).give_back(folder_.id()); }

 private:
  const JobFolder& folder_;
  const JobDescription& job_;
};

}  // namespace trireme
