// Which cores a process may use, and giving it a part of them. OpenMP's threads inherit what is set before they start.
#pragma once

#include <vector>

namespace trireme {

/// The cores this process may run on now.
std::vector<int> bound_cores();
/// The cores the system would let it run on (its cpuset), whatever mpirun bound it to.
std::vector<int> allowed_cores();
void bind_to(const std::vector<int>& cores);
/// Part `part` of `parts` of `cores`, hardware threads of one core together; sizes differ by at most one, and with
/// fewer cores than parts they share.
std::vector<int> share_of(const std::vector<int>& cores, int part, int parts);
/// Sets the size of the compute thread's OpenMP team.
void set_compute_threads(int threads);
/// Lets waiting OpenMP threads sleep instead of spin, unless the environment says otherwise: a spinning thread takes
/// the core of another rank, of the loader or of the communication thread. The OpenMP library reads this when it is
/// loaded, so the program starts itself anew, once, with the same arguments; call it first in main.
void wait_passively(const char* const* arguments);
/// The binaries are built for x86-64-v3; throws with what is missing on an older processor.
void check_processor();

}  // namespace trireme
