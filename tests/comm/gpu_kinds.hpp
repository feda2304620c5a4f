// The kinds of communicators for data on GPUs that tests run over: on a GPU where the name begins with cuda_, else the
// same code over host memory, with MPI in NCCL's place.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "comm/node_communicator.hpp"
#include "comm/staged_communicator.hpp"
#include "tests/comm/mpi_nccl.hpp"
#include "tests/comm/world.hpp"

namespace trireme::test {

inline bool gpu_kind_is_there(const std::string& kind) { return !kind.starts_with("cuda") || cuda_device_count() > 0; }

inline Device device_of(const std::string& kind) {
  if (!kind.starts_with("cuda")) return Device::cpu();
  return Device::cuda(world()->local_rank() % std::max(1, cuda_device_count()));
}

/// The stream that computes there, made once.
inline const Stream& compute_on(Device device) {
  static std::map<std::string, Stream> streams;
  return streams.try_emplace(device.name(), device).first->second;
}

inline std::shared_ptr<Communicator> make_gpu_communicator(const std::string& kind) {
  const auto node = with_node_window(world());
  const Stream& compute = compute_on(device_of(kind));
  // Small pieces, so that middling tensors already take many.
  const StagingOptions small{.chunk_bytes = 32 * 1024, .direct = StagingOptions::Direct::never};
  if (kind == "staged") return with_staging(node, make_staging_port(compute), small);
  if (kind == "staged_mpi") return with_staging(world(), make_staging_port(compute), small);
  if (kind == "cuda_staged") return with_staging(node, compute, small);
  if (kind == "cuda_staged_direct") return with_staging(node, compute);
  NcclOptions options;
  options.alone = NcclOptions::Alone::nccl;
  if (kind == "nccl") return with_mpi_nccl(node, options);
  if (kind == "nccl_reversed") return with_mpi_nccl(node, options)->split(0, -node->rank(), "reversed");
  if (kind == "cuda_nccl_reversed") return with_nccl(node, compute, options)->split(0, -node->rank(), "reversed");
  if (kind == "cuda_nccl_registered") options.memory = NcclOptions::Memory::registered;
  return with_nccl(node, compute, options);
}

/// Made once, in the order in which tests ask: the same on all ranks.
inline std::shared_ptr<Communicator> gpu_communicator(const std::string& kind) {
  static std::map<std::string, std::shared_ptr<Communicator>> made;
  auto& slot = made[kind];
  if (!slot) slot = make_gpu_communicator(kind);
  return slot;
}

}  // namespace trireme::test
