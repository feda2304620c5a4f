#include "launcher/run/loaded_model.hpp"

#include "comm/self_communicator.hpp"
#include "launcher/run/checkpoint_load.hpp"
#include "launcher/run/model_folder.hpp"

namespace trireme {
namespace {

void fill(LoadedModel& out, const std::vector<std::string>& candidates) {
  std::vector<NamedTensor> tensors;
  for (const ArenaEntry& entry : out.layout.entries())
    tensors.push_back(
        {"param", entry.name, entry.parameter->shape(), out.planes.param.slice(entry.offset, entry.count)});
  SelfCommunicator alone;
  const std::vector<std::string> differences = load_weights(alone, candidates, tensors);
  if (!differences.empty())
    fail(ExitCode::corrupt_input, "the weights in {} are not those of the model its {} describes: {}",
         candidates.front(), model_config_file, fmt::join(differences, "; "));
  out.planes.param.buffer()->bump_version();
}

}  // namespace

LoadedModel load_language_model(const std::string& path, Device device) {
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
  // Frozen: no place for gradients is made.
  out.layout = plan_arena(*out.model, {.freeze = [](const std::string&) { return true; }}, [&](Context& context) {
    out.model->hidden(context, {.ids = Tensor::empty({1, 1}, DType::i32, Device::meta())});
    out.model->head(context);
  });
  out.planes = allocate_planes(out.layout, device, system_allocator(device));
  for (std::size_t k = 0; k < out.layout.entries().size(); ++k) {
    const ArenaEntry& entry = out.layout.entries()[k];
    entry.parameter->bind(out.planes.param.slice(entry.offset, entry.count).reshape(entry.parameter->shape()),
                          entry.name, static_cast<int>(k));
  }
  fill(out, candidates);
  for (const std::int64_t token : config.end_tokens) out.stops.push_back(static_cast<std::int32_t>(token));
  if (Tokenizer::is_in(folder)) {
    out.tokenizer = Tokenizer::load(folder);
    if (const auto end = out.tokenizer->end_of_text()) out.stops.push_back(*end);
  }
  return out;
}

}  // namespace trireme
