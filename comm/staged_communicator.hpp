// Calls on a GPU's tensors through a communicator of host memory (MPI, node windows): for machines without NCCL, or
// where it fails. Collectives are cut into pieces and staged through pinned memory (staged_operation.hpp); messages are
// staged whole. Where the MPI library takes a GPU's memory itself, moves go to it directly; sums are always made on the
// host. Events are for the host: a stream that waits for one holds the host up.
#pragma once

#include <memory>

#include "comm/communicator.hpp"
#include "comm/staging_port.hpp"

namespace trireme {

struct StagingOptions {
  enum class Direct : std::uint8_t { never, where_possible };
  /// Pinned memory of a piece; two pieces are under way at a time, each with one such block to the host and one back.
  std::size_t chunk_bytes = std::size_t{4} << 20;
  Direct direct = Direct::where_possible;
};

/// The communicator for data on the GPU of `compute`, which outlives it; `base` itself where `compute` is a CPU's.
/// Collective.
std::shared_ptr<Communicator> with_staging(std::shared_ptr<Communicator> base, const Stream& compute,
                                           const StagingOptions& options = {});

/// The same with a port of the caller's own.
std::shared_ptr<Communicator> with_staging(std::shared_ptr<Communicator> base, std::shared_ptr<StagingPort> port,
                                           const StagingOptions& options = {});

}  // namespace trireme
