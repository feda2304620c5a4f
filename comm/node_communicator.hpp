// A communicator whose ranks on one host meet in shared memory and whose hosts meet through another communicator
// (MPI). all_reduce always goes this way; small reduce_scatter, all_gather, broadcast and barrier too when all ranks
// are on one host; everything else is passed on. Within a host the computing thread does the arithmetic, when it calls
// progress() or waits; between hosts the communication thread works in the background.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "comm/communicator.hpp"

namespace trireme {

struct NodeOptions {
  /// Ranks with the same text are taken to share memory; empty: the host name.
  std::string host = {};
  /// Staging memory per rank is 4 chunks.
  std::size_t chunk_bytes = std::size_t{1} << 20;
};

/// `base` with shared memory within hosts. Collective. Returns `base` itself when no two ranks share a host, and, with
/// one warning per process, when a host refuses the memory (a small /dev/shm): all ranks decide alike.
std::shared_ptr<Communicator> with_node_window(std::shared_ptr<Communicator> base, const NodeOptions& options = {});

}  // namespace trireme
