// `trireme launch -n N [options] -- PROGRAM ARGS...`: composes mpirun, shows the ranks' output, ends with the exit code
// and one line of the rank that failed first (docs/launching.md). Never calls MPI_Init itself.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace trireme {

int launch_command(std::span<const std::string> args);

/// The command that launch_command() would run: mpirun or srun, the wrapper around each rank, the program.
std::vector<std::string> launched_command(std::span<const std::string> args);

}  // namespace trireme
