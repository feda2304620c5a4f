// Updates of one whole parameter by its norm or its matrix: LAMB, Adafactor, Muon. Internal to core/optim.
#pragma once

#include "core/optim/optimizer.hpp"
#include "core/tape/context.hpp"

namespace trireme {

/// One parameter in the planes.
struct WholeUpdate {
  const OptimizerOptions& options;
  UpdateSettings settings;
  const StepState* state;
  Shape shape;
  Tensor values, param, grad;  ///< Its elements; values are the masters where there are such.
  Tensor moment1, moment2;     ///< Null where the kind has none.
};

/// Queues the update; directions take memory of the context.
void run_whole_update(Context& context, const WholeUpdate& update);

}  // namespace trireme
