// Which way a GPU's data takes: NCCL where every rank has it, else MPI through host memory.
#pragma once

#include "comm/nccl_communicator.hpp"
#include "comm/staged_communicator.hpp"

namespace trireme {

struct GpuTransport {
  enum class Way : std::uint8_t { automatic, nccl, mpi };
  Way way = Way::automatic;
  NcclOptions nccl = {};
  StagingOptions staging = {};
};

/// The communicator for data on the GPU of `compute` (which outlives it) on top of `base`; `base` itself where
/// `compute` is a CPU's. Collective. Automatic: with NCCL unless a rank cannot open it, which one line then says. NCCL
/// refuses two ranks on one GPU, so ranks that share GPUs ask for mpi.
std::shared_ptr<Communicator> with_gpu(std::shared_ptr<Communicator> base, const Stream& compute,
                                       const GpuTransport& transport = {});

/// Why not every rank has NCCL, from what each says (nothing: it has); empty when all have. `hosts` as in Communicator.
std::string nccl_obstacle(const std::vector<std::string>& reasons, const std::vector<std::string>& hosts);

}  // namespace trireme
