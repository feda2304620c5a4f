// Trains a GPT or Llama on a token set, on one rank or many, shows what it writes, and judges it:
//   trireme launch -n 2 -- language_model --data data/austen
#include <cmath>
#include <cstdio>

#include "core/models/generate.hpp"
#include "core/models/hugging_face.hpp"
#include "datasets/bigram.hpp"
#include "launcher/run/choice_scoring.hpp"
#include "launcher/run/language_modeling.hpp"
#include "launcher/run/model_folder.hpp"
#include "launcher/run/model_options.hpp"
#include "launcher/run/program.hpp"
#include "launcher/run/token_data.hpp"

using namespace trireme;

namespace {

/// What is asked for beside data, model and training.
struct Asked {
  std::string prompt = "It was", questions;
  bool evaluate = false, baseline = false;

  void declare(OptionGroup& group) {
    group.add("prompt", &prompt, "what the sample after each validation begins with; empty: no sample")
        .add("evaluate", &evaluate, "train nothing: perplexity of the validation windows, with --init-from")
        .add("baseline", &baseline, "also compute the loss of a table of token pairs")
        .add("questions", &questions, "multiple-choice questions (JSON lines) to answer at the end");
  }
  /// The prompt's tokens; Error(usage) where the data's tokenizer has no token for some of it.
  std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer) const {
    try {
      return tokenizer.encode(prompt);
    } catch (const Error& error) {
      fail(ExitCode::usage, "--prompt '{}': {}; give another, or an empty one for no samples", prompt, error.what());
    }
  }
  /// What the model writes on from the prompt at this point of its training.
  std::string sample(LanguageModel& model, Context& context, const Tokenizer& tokenizer) const {
    const std::vector<std::int32_t> ids = prompt_ids(tokenizer);
    if (ids.empty() || std::ssize(ids) >= model.context_length()) return "";
    GenerateOptions options{
        .sampling = {.temperature = 0.8, .top_k = 50}, .new_tokens = 100, .known_tokens = tokenizer.vocabulary()};
    if (const auto end = tokenizer.end_of_text()) options.stops = {*end};
    return "  sample: " + prompt + tokenizer.decode(generate(model, context, {ids}, options).front());
  }
  /// What is needed at the end must not be missing then.
  std::vector<MultipleChoiceItem> check(const TokenData& tokens, const TrainingData& samples) const {
    prompt_ids(tokens.tokenizer);
    if (!samples.validation && (evaluate || baseline))
      fail(ExitCode::usage, "--evaluate and --baseline need validation samples: hold some out by --validation 0.05");
    return questions.empty() ? std::vector<MultipleChoiceItem>() : read_multiple_choice(questions);
  }
};

/// Loss of the validation samples; with a vocabulary also that of a table of token pairs.
void report(Session& session, Trainer& trainer, const TrainingData& samples, std::int64_t vocabulary) {
  const Task::Evaluation held_out = trainer.evaluate_held_out();
  if (!session.leads()) return;
  std::printf("validation loss %.4f, perplexity %.2f\n", held_out.loss, std::exp(held_out.loss));
  if (vocabulary > 0)
    std::printf("bigram baseline: validation loss %.4f\n", bigram_loss(samples.train, samples.validation, vocabulary));
}

void print_choices(const ChoiceScores& scores) {
  const auto percent = [&](std::int64_t n) { return 100 * static_cast<double>(n) / static_cast<double>(scores.items); };
  std::printf("%lld questions: %.2f %% right, %.2f %% by probability per byte; %lld contexts were shortened\n",
              static_cast<long long>(scores.items), percent(scores.right), percent(scores.right_normalised),
              static_cast<long long>(scores.shortened));
}

}  // namespace

int main(int argc, char** argv) {
  TokenDataOptions data;
  ModelOptions model_options;
  Asked asked;
  TrainingOptions training{.epochs = 4,
                           .batch = 16,
                           .validation = 0.05,
                           .optimizer = {.kind = OptimizerOptions::Kind::adamw, .beta2 = 0.95, .weight_decay = 0.1},
                           .learning_rate = 4e-3,
                           .schedule = Schedule::Kind::cosine,
                           .warmup_epochs = 0.05,
                           .final_rate = 0.1,
                           .clip = 1};
  OptionSet options({.name = "language_model",
                     .summary = "Trains a GPT or Llama on tokens, or judges one (--evaluate).",
                     .examples = {"trireme launch -n 2 -- language_model --data data/austen --model llama --layers 4",
                                  "language_model --evaluate --init-from runs/austen --questions hellaswag.jsonl"}});
  data.declare(options.group("Task"));
  asked.declare(options.group("Task"));
  model_options.declare(options);
  training.declare(options);
  return run_program(options, {argc, argv}, [&](Session& session) {
    const TokenData tokens(data);
    const HuggingFaceConfig config = model_options.config_for({.tokens_known = tokens.tokenizer.vocabulary(),
                                                               .context = data.context,
                                                               .weights_from = training.checkpoint.init_from,
                                                               .end_of_text = tokens.tokenizer.end_of_text()});
    const auto model = make_language_model(config.model, model_options.building());
    LanguageModeling task(*model,
                          {.context = data.context, .documents = data.documents, .sample = [&](Context& context) {
                             return asked.sample(*model, context, tokens.tokenizer);
                           }});
    Run run(session, options, training);
    run.keep("config.json", hugging_face_config_text(config));
    run.keep(tokenizer_texts(training.checkpoint.init_from, tokens.tokenizer));
    const TrainingData samples =
        tokens.validation ? TrainingData{tokens.train, tokens.validation} : run.split(tokens.train);
    const auto items = asked.check(tokens, samples);
    Trainer trainer(session, task, samples, asked.evaluate ? training.frozen() : training);
    asked.evaluate ? run.load(trainer) : run.fit(trainer);
    if (samples.validation) report(session, trainer, samples, asked.baseline ? model->vocabulary() : 0);
    if (items.empty()) return;
    const ChoiceScores scores = score_all(*model, trainer.context(), tokens.tokenizer, {session.data().get(), &items});
    if (session.leads()) print_choices(scores);
  });
}
