// What the starter of this process (mpirun, srun) says about the job, read from environment variables: enough to notice
// that N processes were started as N worlds of one rank because program and starter do not speak the same protocol.
#pragma once

#include <functional>
#include <string>

namespace trireme {

/// Looks a variable up; null when it is not set.
using Environment = std::function<const char*(const char*)>;

/// Throws Error(usage) naming the variable and the remedy when MPI made a world of `world_size` = 1 while the
/// environment says that the job has more processes. Larger worlds are not questioned.
void check_world_size(int world_size, const Environment& environment);

}  // namespace trireme
