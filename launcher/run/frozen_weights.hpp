// A network's weights and states read back from checkpoints for use alone: no gradients, no moments.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/nn/arena.hpp"
#include "launcher/run/checkpoint_load.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

struct FrozenWeights {
  ArenaLayout layout;
  Planes planes;
  TakenWeights taken;
};

/// Binds all parameters and states of `module` to memory on `device` and fills them from the first whole one of
/// `from.candidates` (not empty). `forward` makes one pass on shapes alone. Error(usage) where nothing fits,
/// corrupt_input where no candidate is whole.
FrozenWeights load_frozen_weights(Module& module, const SavedWeights& from, Device device,
                                  const std::function<void(Context&)>& forward);

/// The option --weights of commands that judge or hand on what was trained.
void add_weights_option(OptionGroup& group, WeightKind& kind);

}  // namespace trireme
