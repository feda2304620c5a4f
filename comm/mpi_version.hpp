// What the MPI library says about itself; needs no MPI_Init.
#pragma once

#include <string>

namespace trireme {

/// In one line, for `trireme --version`.
std::string mpi_version();
/// Whether it sends and receives memory of a GPU (Open MPI built with CUDA); false where it does not say.
bool mpi_takes_gpu_memory();

}  // namespace trireme
