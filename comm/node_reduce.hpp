// The arithmetic of reductions: element-wise over what all processes give (in memory that they share, or as it arrived
// from other hosts), always in rank order, so the result does not depend on who arrives first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "comm/communicator.hpp"

namespace trireme {

/// Only the computing thread may enter OpenMP.
enum class Workers : std::uint8_t { team, this_thread };

struct NodeReduction {
  DType dtype = DType::f32;
  Reduction reduction = Reduction::sum;
  std::span<const std::byte* const> sources;  // one per process, in rank order; bf16 and f16 are summed in f32
  std::span<std::byte* const> targets;        // each gets the result; a target may be one of the sources
  std::int64_t count = 0;                     // elements
  Workers workers = Workers::team;
};

/// The team shares large counts.
void reduce_in_rank_order(const NodeReduction& reduction);

}  // namespace trireme
