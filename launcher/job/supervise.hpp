// Watches one running job: shows its output, passes signals on, ends it after its time, and says at the end which rank
// was the cause. No process of the job outlives the call.
#pragma once

#include <string>
#include <vector>

namespace trireme {

struct JobSettings {
  std::vector<std::string> command;  // mpirun with wrapped ranks
  int ranks = 1;
  std::string log_folder;
  double timeout_seconds = 0;  // 0: none
  int terminal_columns = 0;
};

/// The exit code of the job: 0, that of the rank which failed first, 11 after the time-out, 128 + signal where a signal
/// stopped the launcher, else mpirun's.
int supervise(const JobSettings& settings);

}  // namespace trireme
