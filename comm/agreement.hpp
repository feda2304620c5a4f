// Whether all ranks were started alike. Ranks that run with different options would train nonsense or hang in the first
// collective that one of them does not make; this check turns that into an error with names, in the first second.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"

namespace trireme {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

/// Collective. Throws Error(disagree), the same text on all ranks, when a name is missing on some rank or has different
/// values: "--batch is 64 on ranks 0-2, 4 and 32 on rank 3". At most 5 names are listed.
void check_agreement(Communicator& comm, const NamedTexts& options);

/// The comparison itself: one list of each rank. Empty when all agree.
std::string disagreement(const std::vector<NamedTexts>& of_ranks);

/// "rank 4", "ranks 0-2, 4".
std::string rank_list(const std::vector<int>& ranks);

/// Throws Error(disagree) naming the first rank whose bytes of `values` differ from rank 0's. Collective; `what` names
/// the values ("the parameters") in the message.
void check_same(Communicator& comm, const Tensor& values, const std::string& what);

}  // namespace trireme
