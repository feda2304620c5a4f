// MPI_Get_library_version is one of the few calls that are allowed before MPI_Init.
#include "comm/mpi_version.hpp"

// The C++ bindings were removed from the standard and would need a library of their own.
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#include <mpi.h>
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

namespace trireme {

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "unknown";
  std::string all(text, static_cast<std::size_t>(length));
  // Open MPI adds package, identifiers and dates after the first comma.
  all = all.substr(0, all.find_first_of(",\n"));
  while (!all.empty() && (all.back() == '\0' || all.back() == ' ')) all.pop_back();
  return all;
}

bool mpi_takes_gpu_memory() {
#if defined(MPIX_CUDA_AWARE_SUPPORT)
  return MPIX_Query_cuda_support() == 1;
#else
  return false;
#endif
}

}  // namespace trireme
