#include "launcher/run/loaded_classifier.hpp"

#include <algorithm>
#include <filesystem>

#include "core/io/file.hpp"
#include "core/models/image_models.hpp"
#include "core/models/table_models.hpp"
#include "core/ops/softmax.hpp"
#include "launcher/run/options.hpp"
#include "launcher/run/table_classification.hpp"

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

void check_table(const ClassifierRun& run, const Split& split) {
  constexpr std::size_t largest = std::size_t{64} << 20;
  const std::string path = run.folder + "/table.json";
  if (read_file(path, largest) == table_text(split)) return;
  fail(ExitCode::usage,
       "split {} has other columns, classes or means than the table that {} was trained on (see {}): import it by "
       "`trireme data import csv FILE --like {}`",
       split.name(), run.folder, path, run.data);
}

/// What the run's config.ini says of some options.
void read_run(const std::string& folder, const std::function<void(OptionGroup&)>& declare) {
  OptionSet options({.name = "run", .summary = "", .sources = OptionSources::command_line_only});
  declare(options.group("Task"));
  options.take_from_run("run", "");
  options.parse(std::vector<std::string>{"--run", folder});
}

/// The network of a run of table and what it does, without weights.
LoadedClassifier empty_table(const ClassifierRun& run, const SampleSource& samples) {
  const auto* const found = dynamic_cast<const Split*>(&samples);
  if (found == nullptr)
    fail(ExitCode::usage, "{} was trained on a table, which is judged on one data set, not on a mix", run.folder);
  const Split& split = *found;
  check_table(run, split);
  const TableForm form = TableForm::of(split, Answers::optional);
  LoadedClassifier out;
  out.answered = form.answered;
  out.model = std::make_unique<Sequential>(make_table_model({.hidden = run.hidden, .outputs = form.outputs}));
  if (form.task == TableForm::Task::regression) {
    out.regression = std::make_unique<Regression>(*out.model, split, RegressionOptions{.answers = Answers::optional});
  } else {
    out.classifier = std::make_unique<TableClassification>(*out.model, split, 0, Answers::optional);
  }
  return out;
}

/// The run's network and what it does, without weights.
LoadedClassifier empty_classifier(const ClassifierRun& run, const SampleSource& samples) {
  if (run.is_table()) return empty_table(run, samples);
  LoadedClassifier out;
  if (run.text) {
    auto network = std::make_unique<SequenceClassifier>(run.text->make(TextForm::of(samples)));
    out.classifier = std::make_unique<TextClassification>(*network, samples, 0);
    out.model = std::move(network);
  } else {
    const ImageForm form = ImageForm::of(samples);
    out.model = make_image_model(run.model, {.height = form.height, .width = form.width, .classes = form.classes});
    out.classifier = std::make_unique<Classification>(*out.model, samples, ClassificationOptions{});
  }
  return out;
}

Task& task_of(const LoadedClassifier& loaded) {
  if (loaded.regression) return *loaded.regression;
  return *loaded.classifier;
}

std::string samples_text(const LoadedClassifier& loaded, const SampleSource& samples) {
  if (loaded.regression) return loaded.regression->samples_text();
  return fmt::format("{} in {} classes", loaded.classifier->samples_text(), samples.class_names().size());
}

/// A loader of all samples of a request, with the memory that a network computes in.
struct Judging {
  Judging(const ClassifyRequest& request, const Task& task)
      : stream(request.device),
        memory(request.device),
        context(stream, memory),
        loader(request.samples, {.batch = request.batch,
                                 .pass = Pass::evaluate,
                                 .threads = request.threads,
                                 .transforms = task.transforms(DType::f32, Mode::eval),
                                 .stream = request.device.is_cuda() ? &stream : nullptr}) {
    context.begin_eval();
  }
  const Stream stream;
  StepAllocator memory;
  Context context;
  Loader loader;
};

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
  if (run.model.empty() && fs::exists(run.folder + "/table.json")) {
    run.model = "table";
    read_run(run.folder, [&](OptionGroup& group) { group.add("hidden", &run.hidden, ""); });
    return run;
  }
  const std::vector<std::string> known = image_model_names();
  if (std::ranges::find(known, run.model) == known.end())
    fail(ExitCode::usage,
         "the run '{}' has {}: only runs of image_classification, sequence and table can be judged here; a program of "
         "your own calls Trainer::evaluate()",
         run.folder, run.model.empty() ? "no option 'model'" : fmt::format("the unknown model '{}'", run.model));
  return run;
}

LoadedClassifier load_classifier(const std::string& path, const ClassifierRun& run, const SampleSource& samples,
                                 const ClassifierWeights& weights) {
  const std::vector<std::string> candidates = checkpoints_at(path);
  if (candidates.empty()) fail(ExitCode::usage, "'{}' has no checkpoint yet", path);
  LoadedClassifier out = empty_classifier(run, samples);
  out.weights = load_frozen_weights(*out.model, {candidates, weights.kind}, weights.device,
                                    [&](Context& context) { task_of(out).plan(context, 1, DType::f32); });
  if (!out.weights.taken.differences.empty())
    fail(ExitCode::usage, "{} was trained on samples of another size or with other classes than these {}: {}",
         out.weights.taken.checkpoint, samples_text(out, samples), out.weights.taken.differences.front());
  return out;
}

void classify(LoadedClassifier& loaded, const ClassifyRequest& request,
              const std::function<void(const ClassifiedSamples&)>& take) {
  require(loaded.classifier != nullptr, "a regression tells no classes");
  Judging judging(request, *loaded.classifier);
  while (!judging.loader.finished()) {
    const Batch batch = judging.loader.next();
    const Value logits = loaded.classifier->logits(judging.context, batch);
    const auto classes = static_cast<std::size_t>(logits.shape()[-1]);
    const auto probabilities = ops::softmax(judging.context, logits).tensor().to_vector<float>();
    const auto labels = loaded.answered ? batch.field("label").to_vector<std::int32_t>() : std::vector<std::int32_t>();
    const auto weights = batch.weight().to_vector<float>();
    ClassifiedSamples samples;
    for (std::size_t row = 0; row < weights.size(); ++row) {
      if (weights[row] == 0) continue;  // filled up
      if (loaded.answered) samples.truth.push_back(labels[row]);
      const auto first = probabilities.begin() + static_cast<std::ptrdiff_t>(row * classes);
      samples.probabilities.insert(samples.probabilities.end(), first, first + static_cast<std::ptrdiff_t>(classes));
    }
    take(samples);
  }
}

std::vector<double> predict_numbers(LoadedClassifier& loaded, const ClassifyRequest& request,
                                    const std::function<void(const PredictedSamples&)>& take) {
  require(loaded.regression != nullptr, "a classifier predicts no numbers");
  Regression& task = *loaded.regression;
  Judging judging(request, task);
  const std::size_t targets = task.names().size();
  std::vector<double> sums;
  while (!judging.loader.finished()) {
    const Batch batch = judging.loader.next();
    if (loaded.answered) {
      const std::vector<double> some = task.evaluate(judging.context, batch);
      sums.resize(some.size());
      for (std::size_t k = 0; k < some.size(); ++k) sums[k] += some[k];
    }
    const auto predicted = loaded.model->forward(judging.context, batch.field("x")).tensor().to_vector<float>();
    const auto truth = loaded.answered ? batch.field("y").to_vector<float>() : std::vector<float>();
    const auto weights = batch.weight().to_vector<float>();
    PredictedSamples samples;
    for (std::size_t k = 0; k < predicted.size(); ++k) {
      if (weights[k / targets] == 0) continue;  // filled up
      if (loaded.answered) samples.truth.push_back(task.in_units(k % targets, static_cast<double>(truth[k])));
      samples.predicted.push_back(task.in_units(k % targets, static_cast<double>(predicted[k])));
    }
    take(samples);
  }
  return sums;
}

}  // namespace trireme
