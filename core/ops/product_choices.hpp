// Which of a library's algorithms each kind of product uses, remembered so that a run that goes on makes the same
// choices. Internal to core/ops; the text is for others (core/ops/gemm.hpp).
#pragma once

#include <optional>
#include <string>

#include "core/ops/gemm.hpp"
#include "core/ops/plan_cache.hpp"

namespace trireme::ops {

ProductSearch product_search();

/// The number of the algorithm among the candidates; `where` names the library's version and the kind of GPU, without
/// tabs and line ends.
std::optional<std::size_t> product_choice(const std::string& where, const PlanKey& kind);
void set_product_choice(const std::string& where, const PlanKey& kind, std::size_t number);

}  // namespace trireme::ops
