// Watches one running job: shows its output, passes signals on, ends it when told or after its time, and says at the
// end which rank was the cause. Ending is a request first: the ranks get SIGUSR1 and a time of grace to save and end by
// themselves; then, or when asked again, mpirun is told to end them. No process of the job outlives the call. A job
// that hangs, or has lost a host, is ended with a verdict (watchdog.hpp), once calls and stacks of its ranks are
// gathered.
#pragma once

#include <string>
#include <vector>

#include "launcher/job/watchdog.hpp"

namespace trireme {

struct JobSettings {
  std::vector<std::string> command;  // mpirun with wrapped ranks
  int ranks = 1;
  std::string log_folder;
  std::string hostfile = {};   // text of log_folder/hostfile, which the command names; empty: none
  double timeout_seconds = 0;  // 0: none
  double grace_seconds = 60;   // between the request and the order to end; 0: the order at once
  int terminal_columns = 0;
  WatchLimits limits = {};
};

/// The exit code of the job: 0, 10 where it has saved and asks to be resumed, that of the rank which failed first, 11
/// after the time-out or for a rank that hangs, 12 for a host that is lost, 128 + signal where a signal stopped the
/// launcher, else mpirun's.
int supervise(const JobSettings& settings);

}  // namespace trireme
