// Activation recomputation (Chen et al. 2016, arXiv:1604.06174): a part of a network is run without keeping anything
// but its inputs, as one record of the tape, and run again when its gradients are wanted. Random draws are the same in
// both runs, so results and gradients are bit for bit those of the part left alone.
#pragma once

#include <functional>
#include <vector>

#include "core/tape/context.hpp"

namespace trireme {

/// From inputs to outputs, with the parameters it uses.
using Computation = std::function<std::vector<Value>(Context&, std::span<const Value>)>;

struct Recomputed {
  const char* name;  ///< In profiles.
  std::span<const Value> inputs;
  /// Every parameter the computation uses; one that is missing is an Error in backward.
  std::vector<Parameter*> parameters;
};

/// The outputs of `body`. What it captures must live until backward.
std::vector<Value> recompute(Context& context, const Recomputed& what, Computation body);

}  // namespace trireme
