// How tests start programs on several ranks: as root mpirun asks for permission, and tests use more ranks than cores.
#pragma once

#include <string>

namespace trireme {

/// "mpirun ..." up to where "-n RANKS PROGRAM" follows.
inline const std::string mpirun =
    "env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 mpirun --oversubscribe ";

}  // namespace trireme
