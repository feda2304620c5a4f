// The arithmetic of reductions within a host: element-wise over the memory of all processes, always in rank order, so
// the result does not depend on who arrives first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "comm/communicator.hpp"

namespace trireme {

struct NodeReduction {
  DType dtype = DType::f32;
  Reduction reduction = Reduction::sum;
  std::span<const std::byte* const> sources;  // one per process, in rank order; bf16 and f16 are summed in f32
  std::span<std::byte* const> targets;        // each gets the result; a target may be one of the sources
  std::int64_t count = 0;                     // elements
};

/// Large counts are shared among the OpenMP threads of the calling (compute) thread.
void reduce_in_rank_order(const NodeReduction& reduction);

}  // namespace trireme
