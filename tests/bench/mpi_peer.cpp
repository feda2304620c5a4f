#include "tests/bench/mpi_peer.hpp"

#define OMPI_SKIP_MPICXX 1  // the C++ bindings of MPI 2 are not used
#include <mpi.h>

#include "core/base/checked.hpp"

namespace trireme::bench {

void mpi_all_reduce(float* values, std::size_t count) {
  const int result = MPI_Allreduce(MPI_IN_PLACE, values, narrow<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  require(result == MPI_SUCCESS, "MPI_Allreduce of {} floats failed with code {}", count, result);
}

void mpi_barrier() {
  const int result = MPI_Barrier(MPI_COMM_WORLD);
  require(result == MPI_SUCCESS, "MPI_Barrier failed with code {}", result);
}

}  // namespace trireme::bench
