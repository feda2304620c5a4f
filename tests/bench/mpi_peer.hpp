// The peer of the all-reduce benchmark: the MPI library's own sum, called directly.
#pragma once

#include <cstddef>

namespace trireme::bench {

/// Sums `count` floats over all ranks in place with MPI_Allreduce. MPI must be initialised, and no other thread may be
/// in a call of it.
void mpi_all_reduce(float* values, std::size_t count);

/// Waits for all ranks with MPI_Barrier.
void mpi_barrier();

}  // namespace trireme::bench
