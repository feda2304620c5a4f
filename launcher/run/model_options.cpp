#include "launcher/run/model_options.hpp"

#include <algorithm>
#include <map>

#include "launcher/run/model_folder.hpp"

namespace trireme {
namespace {

struct Size {
  std::int64_t layers, heads, width;
};

/// Radford et al. 2019, table 2; gpt and llama are small enough for a CPU.
const std::map<std::string, Size>& sizes() {
  static const std::map<std::string, Size> all = {{"gpt", {4, 4, 128}},           {"llama", {4, 4, 128}},
                                                  {"gpt2", {12, 12, 768}},        {"gpt2-medium", {24, 16, 1024}},
                                                  {"gpt2-large", {36, 20, 1280}}, {"gpt2-xl", {48, 25, 1600}}};
  return all;
}

std::int64_t or_else(std::int64_t given, std::int64_t otherwise) { return given > 0 ? given : otherwise; }

}  // namespace

void ModelOptions::declare(OptionSet& options) {
  std::vector<std::string> names;
  for (const auto& [name, size] : sizes()) names.push_back(name);
  options.group("Model")
      .add("model", &model, "a GPT-2 of a published size, or a small GPT or Llama to be changed by the numbers below",
           names)
      .add("model-config", &config,
           "config.json of a run or an imported model, or its folder: the model has those sizes, whatever --model says")
      .add("layers", &layers, "blocks; 0: those of the model", {.low = 0, .high = 1 << 16})
      .add("heads", &heads, "attention heads; 0: those of the model", {.low = 0, .high = 1 << 16})
      .add("kv-heads", &kv_heads, "llama: heads of keys and values; 0: as many as heads", {.low = 0, .high = 1 << 16})
      .add("width", &width, "numbers of a hidden state; 0: those of the model", {.low = 0, .high = 1 << 20})
      .add("inner", &inner, "width of the layer inside a block's second part; 0: 4 x width, llama 8/3 x width",
           {.low = 0, .high = 1 << 22})
      .add("positions", &positions, "longest sequence the model can take; 0: --context, GPT-2 sizes at least 1024",
           {.low = 0, .high = 1 << 24})
      .add("vocabulary", &vocabulary, "rows of the token table; 0: the tokenizer's", {.low = 0, .high = 1 << 24})
      .add("window", &window, "llama: how many tokens back attention reaches; 0: all", {.low = 0})
      .add("rope-base", &rope_base, "llama: theta of the rotary positions", {.low = 1, .high = 1e12})
      .add("tied", &tied, "llama: head and token table are one matrix")
      .add("dropout", &dropout, "after the embedding and both parts of each block", {.low = 0, .high = 0.99})
      .add("recompute", &recompute, "what backward computes again to save memory: none, attention or block",
           {{"none", Recompute::none}, {"attention", Recompute::attention}, {"block", Recompute::block}});
}

namespace {

std::int64_t vocabulary_of(const ModelConfig& config) {
  return std::visit([](const auto& one) { return one.vocabulary; }, config);
}

HuggingFaceConfig stored_config(const std::string& folder, std::int64_t tokens_known) {
  const HuggingFaceConfig found = *read_model_config(folder);
  if (vocabulary_of(found.model) < tokens_known)
    fail(ExitCode::usage, "{}: the model knows {} tokens, the data's tokenizer {}: the data are not for it", folder,
         vocabulary_of(found.model), tokens_known);
  return found;
}

}  // namespace

HuggingFaceConfig ModelOptions::config_for(const Request& request) const {
  ModelOptions plain;
  plain.config = config, plain.dropout = dropout, plain.recompute = recompute;
  const bool numbers_given = !(*this == plain);
  const std::string stored = folder_of_model(config.empty() ? request.weights_from : config);
  if (!config.empty() && stored.empty())
    fail(ExitCode::usage, "--model-config {}: there is no {}", config, model_config_file);
  if (!config.empty() && numbers_given)
    fail(ExitCode::usage, "--model-config {} says what the model is: leave --model and its numbers out", config);
  HuggingFaceConfig out;
  if (!stored.empty() && !numbers_given) {
    out = stored_config(stored, request.tokens_known);
    if (auto* gpt = std::get_if<Gpt2Config>(&out.model)) gpt->dropout = dropout;
  } else {
    out.model = own_config(request);
  }
  if (out.end_tokens.empty() && request.end_of_text) out.end_tokens = {*request.end_of_text};
  return out;
}

void ModelOptions::refuse_unused() const {
  if (model == "llama") return;
  const ModelOptions plain;
  for (const auto& [name, given] :
       {std::pair{"--kv-heads", kv_heads != plain.kv_heads}, std::pair{"--window", window != plain.window},
        std::pair{"--rope-base", rope_base != plain.rope_base}, std::pair{"--no-tied", tied != plain.tied}})
    if (given) fail(ExitCode::usage, "{} is for --model llama; a {} has no such thing", name, model);
}

ModelConfig ModelOptions::own_config(const Request& request) const {
  refuse_unused();
  const Size& size = sizes().at(model);
  const std::int64_t tokens_known = request.tokens_known, context = request.context;
  if (vocabulary > 0 && vocabulary < tokens_known)
    fail(ExitCode::usage, "--vocabulary {}: the data's tokenizer knows {} tokens; give at least that, or nothing",
         vocabulary, tokens_known);
  const std::int64_t known = or_else(vocabulary, tokens_known), wide = or_else(width, size.width);
  const bool published = model.starts_with("gpt2");
  const std::int64_t longest = or_else(positions, published ? std::max<std::int64_t>(context, 1024) : context);
  if (longest < context)
    fail(ExitCode::usage, "--context {} is longer than --positions {}: the model could not take such sequences",
         context, longest);
  const std::int64_t of_heads = or_else(heads, size.heads), of_layers = or_else(layers, size.layers);
  if (model != "llama")
    return Gpt2Config{.vocabulary = known,
                      .context = longest,
                      .width = wide,
                      .layers = of_layers,
                      .heads = of_heads,
                      .inner = or_else(inner, 4 * wide),
                      .dropout = dropout};
  if (wide % of_heads != 0)
    fail(ExitCode::usage, "--width {} with --heads {}: the heads must divide the width", wide, of_heads);
  return LlamaConfig{.vocabulary = known,
                     .context = longest,
                     .width = wide,
                     .layers = of_layers,
                     .heads = of_heads,
                     .kv_heads = or_else(kv_heads, of_heads),
                     .head_size = wide / of_heads,
                     .inner = or_else(inner, (8 * wide / 3 + 31) / 32 * 32),
                     .rope_base = rope_base,
                     .window = window,
                     .head = tied ? LlamaConfig::Head::tied : LlamaConfig::Head::own};
}

}  // namespace trireme
