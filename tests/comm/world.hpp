// The world of the program `tests_ranks`, which runs under mpirun with any number of ranks.
#pragma once

#include <memory>

#include "comm/communicator.hpp"
#include "comm/mpi.hpp"

namespace trireme::test {

MpiRuntime& runtime();
inline const std::shared_ptr<Communicator>& world() { return runtime().world(); }

}  // namespace trireme::test
