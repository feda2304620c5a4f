// How a run hears that it shall end: SIGTERM (schedulers), SIGUSR1 (`trireme launch`, Slurm's --signal) and SIGINT
// (Ctrl-C) only leave a mark here, which the training loop looks at between two steps, so that it can save and end.
// Further ones change nothing, but a SIGINT after the first request ends the process at once: somebody sits there who
// does not want to wait. Make it after MPI_Init, which may set handlers of its own.
#pragma once

#include <signal.h>

#include <vector>

namespace trireme {

/// The signal that came first since the last StopSignals was made; 0: none.
int stop_signal();

/// Catches the stop signals while it lives; one at a time.
class StopSignals {
 public:
  StopSignals();
  /// The old handlers are back afterwards; stop_signal() keeps its answer.
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  struct Former {
    int signal;
    struct sigaction action;
  };
  std::vector<Former> former_;
};

}  // namespace trireme
