// A language model read back for use: its sizes, weights and tokenizer from the folder of a run, from one of its
// checkpoints, or from what `trireme checkpoint import` made. No training state is made.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/models/language_model.hpp"
#include "core/nn/arena.hpp"
#include "datasets/tokenizer.hpp"
#include "launcher/run/checkpoint_load.hpp"

namespace trireme {

struct LoadedModel {
  std::unique_ptr<LanguageModel> model;
  ArenaLayout layout;
  Planes planes;
  std::optional<Tokenizer> tokenizer;  ///< Where the folder has one.
  std::vector<std::int32_t> stops;     ///< Tokens that end a text, of config.json and of the tokenizer.
};

/// Its weights lie on `device`. Error(usage) where the path holds no language model, corrupt_input where it is damaged
/// or its weights are not those of its config.json.
LoadedModel load_language_model(const std::string& path, Device device = Device::cpu(),
                                WeightKind kind = WeightKind::averaged);

}  // namespace trireme
