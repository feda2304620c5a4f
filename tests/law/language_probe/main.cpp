// Trains a tiny GPT or Llama on a token set and writes losses and final weights as JSON; with --fit as a user's run,
// with run folder, checkpoints and resume.
#include <fmt/format.h>

#include "comm/agreement.hpp"
#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "launcher/run/language_modeling.hpp"
#include "launcher/run/program.hpp"
#include "launcher/run/token_data.hpp"

using namespace trireme;

namespace {

std::unique_ptr<LanguageModel> make(const std::string& name, const TokenData& tokens, std::int64_t context,
                                    const LanguageModelOptions& options) {
  const std::int64_t known = tokens.tokenizer.vocabulary();
  if (name == "gpt")
    return make_language_model(
        Gpt2Config{.vocabulary = known, .context = context, .width = 16, .layers = 2, .heads = 2, .inner = 32},
        options);
  return make_language_model(LlamaConfig{.vocabulary = known,
                                         .context = context,
                                         .width = 16,
                                         .layers = 2,
                                         .heads = 4,
                                         .kv_heads = 2,
                                         .head_size = 4,
                                         .inner = 24,
                                         .window = 7},
                             options);
}

Json values_of(const Tensor& tensor) {
  std::vector<double> out;
  with_floating(tensor.dtype(), "probe", [&](auto zero) {
    for (const auto value : tensor.to_vector<decltype(zero)>()) out.push_back(static_cast<double>(value));
  });
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  TokenDataOptions data{.context = 11};
  LanguageModelOptions building;
  std::string model_name = "gpt", out;
  bool fit = false;
  TrainingOptions training{.max_steps = 20, .batch = 12, .validation = 0};
  OptionSet options({.name = "language_probe", .summary = "Trains a tiny language model and writes all it did."});
  data.declare(options.group("Probe"));
  options.group("Probe")
      .add("model", &model_name, "the network", {"gpt", "llama"})
      .add("dropout", &building.dropout, "of the network")
      .add("recompute", &building.recompute, "of the network",
           {{"none", Recompute::none}, {"attention", Recompute::attention}, {"block", Recompute::block}})
      .add("fit", &fit, "train as a run with a folder")
      .add("out", &out, "the JSON file");
  training.declare(options);
  return run_program(options, {argc, argv}, [&](Session& session) {
    const TokenData tokens(data);
    const auto model = make(model_name, tokens, data.context, building);
    LanguageModeling task(*model, {.context = data.context, .logits_bytes = 4096, .documents = data.documents});
    Run run(session, options, training);
    Trainer trainer(session, task, {tokens.train, tokens.validation}, training);
    Json losses = Json::array(), norms = Json::array(), weights = Json::object();
    if (fit) run.fit(trainer);
    while (trainer.steps_done() < trainer.total_steps()) {
      const Trainer::Step step = trainer.step();
      losses.push_back(step.loss);
      norms.push_back(step.gradient_norm);
    }
    const Task::Evaluation test = trainer.evaluate_held_out();
    check_same(session.world(), trainer.planes().param, "the parameters");
    for (const NamedParameter& p : parameters_of(*model)) weights[p.name] = values_of(p.parameter->value());
    if (session.leads())
      write_file_atomically(
          out, Json{{"losses", losses}, {"norms", norms}, {"weights", weights}, {"test", test.sums}}.dump());
  });
}
