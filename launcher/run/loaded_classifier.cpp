#include "launcher/run/loaded_classifier.hpp"

#include <filesystem>

#include "core/models/image_models.hpp"
#include "core/ops/softmax.hpp"
#include "launcher/run/checkpoint_load.hpp"
#include "launcher/run/options.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// The folder with a config.ini that a path means: a run, its checkpoints, or one of them; empty where there is none.
std::string run_of(const std::string& path) {
  std::error_code ignored;
  const fs::path given = fs::absolute(path, ignored).lexically_normal();
  const fs::path folder = given.has_filename() ? given : given.parent_path();
  for (const fs::path& one : {folder, folder.parent_path(), folder.parent_path().parent_path()})
    if (fs::is_regular_file(one / "config.ini", ignored)) return one.string();
  return "";
}

/// What the run's config.ini says of some options.
void read_run(const std::string& folder, const std::function<void(OptionGroup&)>& declare) {
  OptionSet options({.name = "run", .summary = "", .sources = OptionSources::command_line_only});
  declare(options.group("Task"));
  options.take_from_run("run", "");
  options.parse(std::vector<std::string>{"--run", folder});
}

/// The run's network and what it does, without weights.
LoadedClassifier empty_classifier(const ClassifierRun& run, const Split& split) {
  LoadedClassifier out;
  if (run.text) {
    auto network = std::make_unique<SequenceClassifier>(run.text->make(TextForm::of(split)));
    out.task = std::make_unique<TextClassification>(*network, split, 0);
    out.model = std::move(network);
  } else {
    const ImageForm form = ImageForm::of(split);
    out.model = make_image_model(run.model, {.height = form.height, .width = form.width, .classes = form.classes});
    out.task = std::make_unique<Classification>(*out.model, split, ClassificationOptions{});
  }
  return out;
}

}  // namespace

ClassifierRun classifier_run(const std::string& path) {
  ClassifierRun run{.folder = run_of(path), .model = {}, .data = {}};
  if (run.folder.empty())
    fail(ExitCode::usage, "'{}' is no run folder (no config.ini), and no checkpoint in one", path);
  std::string cell;
  read_run(run.folder, [&](OptionGroup& group) {
    group.add("model", &run.model, "").add("data", &run.data, "").add("cell", &cell, "");
  });
  if (run.model.empty() && !cell.empty()) {
    run.model = cell;
    run.text.emplace();
    read_run(run.folder, [&](OptionGroup& group) { run.text->declare(group); });
    return run;
  }
  const std::vector<std::string> known = image_model_names();
  if (std::ranges::find(known, run.model) == known.end())
    fail(
        ExitCode::usage,
        "the run '{}' has {}: only runs of image_classification and sequence can be judged here; a program of your own "
        "calls "
        "Trainer::evaluate()",
        run.folder, run.model.empty() ? "no option 'model'" : fmt::format("the unknown model '{}'", run.model));
  return run;
}

LoadedClassifier load_classifier(const std::string& path, const ClassifierRun& run, const Split& split, Device device) {
  const std::vector<std::string> candidates = checkpoints_at(path);
  if (candidates.empty()) fail(ExitCode::usage, "'{}' has no checkpoint yet", path);
  LoadedClassifier out = empty_classifier(run, split);
  out.weights = load_frozen_weights(*out.model, candidates, device,
                                    [&](Context& context) { out.task->plan(context, 1, DType::f32); });
  if (!out.weights.differences.empty())
    fail(ExitCode::usage,
         "{} was trained on samples of another size or with other classes than these {} in {} classes: {}",
         out.weights.checkpoint, out.task->samples_text(), split.class_names().size(), out.weights.differences.front());
  return out;
}

void classify(LoadedClassifier& loaded, const ClassifyRequest& request,
              const std::function<void(const ClassifiedSamples&)>& take) {
  const Stream stream(request.device);
  StepAllocator memory(request.device);
  Context context(stream, memory);
  context.begin_eval();
  Loader loader(request.split, {.batch = request.batch,
                                .pass = Pass::evaluate,
                                .threads = request.threads,
                                .transforms = loaded.task->transforms(DType::f32, Mode::eval),
                                .stream = request.device.is_cuda() ? &stream : nullptr});
  while (!loader.finished()) {
    const Batch batch = loader.next();
    const Value logits = loaded.task->logits(context, batch);
    const auto classes = static_cast<std::size_t>(logits.shape()[-1]);
    const auto probabilities = ops::softmax(context, logits).tensor().to_vector<float>();
    const auto labels = batch.field("label").to_vector<std::int32_t>();
    const auto weights = batch.weight().to_vector<float>();
    ClassifiedSamples samples;
    for (std::size_t row = 0; row < labels.size(); ++row) {
      if (weights[row] == 0) continue;  // filled up
      samples.truth.push_back(labels[row]);
      const auto first = probabilities.begin() + static_cast<std::ptrdiff_t>(row * classes);
      samples.probabilities.insert(samples.probabilities.end(), first, first + static_cast<std::ptrdiff_t>(classes));
    }
    take(samples);
  }
}

}  // namespace trireme
