// The MPI library that runs, in one line, for `trireme --version`; needs no MPI_Init.
#pragma once

#include <string>

namespace trireme {

std::string mpi_version();

}  // namespace trireme
