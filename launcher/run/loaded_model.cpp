#include "launcher/run/loaded_model.hpp"

#include "launcher/run/frozen_weights.hpp"
#include "launcher/run/model_folder.hpp"

namespace trireme {

LoadedModel load_language_model(const std::string& path, Device device, WeightKind kind) {
  const std::string folder = folder_of_model(path);
  if (folder.empty())
    fail(ExitCode::usage,
         "{} holds no language model: there is no {}. Give the folder of a run of language_model, one of its "
         "checkpoints, "
         "or a folder made by trireme checkpoint import",
         path, model_config_file);
  const std::vector<std::string> candidates = checkpoints_at(path);
  if (candidates.empty())
    fail(ExitCode::usage,
         "{} has a {} but no checkpoint yet; a folder in Hugging Face's form is taken in by trireme "
         "checkpoint import",
         path, model_config_file);
  LoadedModel out;
  const HuggingFaceConfig config = *read_model_config(folder);
  out.model = make_language_model(config.model);
  FrozenWeights weights = load_frozen_weights(*out.model, {candidates, kind}, device, [&](Context& context) {
    out.model->hidden(context, {.ids = Tensor::empty({1, 1}, DType::i32, Device::meta())});
    out.model->head(context);
  });
  if (!weights.taken.differences.empty())
    fail(ExitCode::corrupt_input, "the weights in {} are not those of the model its {} describes: {}",
         weights.taken.checkpoint, model_config_file, fmt::join(weights.taken.differences, "; "));
  out.layout = std::move(weights.layout);
  out.planes = std::move(weights.planes);
  for (const std::int64_t token : config.end_tokens) out.stops.push_back(static_cast<std::int32_t>(token));
  if (Tokenizer::is_in(folder)) {
    out.tokenizer = Tokenizer::load(folder);
    if (const auto end = out.tokenizer->end_of_text()) out.stops.push_back(*end);
  }
  return out;
}

}  // namespace trireme
