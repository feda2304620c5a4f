#include "launcher/job/evaluate_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/io/file.hpp"
#include "datasets/dataset.hpp"
#include "datasets/open_samples.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/class_metrics.hpp"
#include "launcher/run/confusion_picture.hpp"
#include "launcher/run/device_choice.hpp"
#include "launcher/run/loaded_classifier.hpp"
#include "launcher/run/print.hpp"
#include "launcher/run/regression.hpp"

namespace trireme {
namespace {

/// Scores beyond so many are not kept; what needs them all is left out then.
constexpr std::size_t most_scores = std::size_t{1} << 28;

const Operands run_or_checkpoint{
    .words = "RUN",
    .description = "folder of a run of image_classification, sequence or table, or of one of its checkpoints"};

/// What both commands are told.
struct Asked {
  std::string data, split = "test", device = "auto";
  std::int64_t batch = 256, threads = 1;
  WeightKind weights = WeightKind::averaged;

  void declare(OptionGroup& group) {
    group.add("data", &data, "folder of a data set, or several as DIR=WEIGHT,DIR=WEIGHT; empty: the run's own")
        .add("split", &split, "which of its splits")
        .add("batch", &batch, "samples at once; changes no result but rounding", {.low = 1, .high = 1 << 20})
        .add("threads", &threads, "that prepare samples", {.low = 0, .high = 256})
        .add("device", &device, "where to compute: auto (a GPU where there is one), cpu, cuda or cuda:N");
    add_weights_option(group, weights);
  }
};

const char* name_of(WeightKind kind) { return kind == WeightKind::averaged ? "averaged" : "trained"; }

/// A classifier with the samples it is to judge.
struct Judged {
  ClassifierRun run;
  Samples samples;
  LoadedClassifier loaded;
  ClassifyRequest request;
  bool predicts_numbers() const { return loaded.regression != nullptr; }
};

Judged open(const char* command, const std::string& path, const Asked& asked) {
  Judged out{.run = classifier_run(path), .samples = nullptr, .loaded = {}, .request = {}};
  const std::string data = asked.data.empty() ? out.run.data : asked.data;
  out.samples = open_samples({.data = data, .split = asked.split, .missing = SampleRequest::Missing::pass_over});
  if (!out.samples) {
    std::vector<std::string> there;
    for (const std::string& folder : folders_in(data)) {
      const Dataset dataset = Dataset::open(folder);
      for (const SplitEntry& one : dataset.index().splits) there.push_back(one.name);
    }
    fail(ExitCode::usage, "{}: {} has no split '{}'; it has {}", command, data, asked.split, fmt::join(there, ", "));
  }
  const Device device = choose_device(DeviceRequest::parse(asked.device));
  out.loaded = load_classifier(path, out.run, *out.samples, {device, asked.weights});
  out.request = {
      .samples = out.samples, .batch = asked.batch, .threads = static_cast<int>(asked.threads), .device = device};
  const TakenWeights& taken = out.loaded.weights.taken;
  log::info("{} with the {} weights of {} on {} samples of {}", out.run.model, name_of(taken.kind), taken.checkpoint,
            out.samples->count(), data);
  return out;
}

/// Everything evaluate says.
struct Findings {
  ConfusionMatrix confusion;
  double loss = 0, accuracy = 0, top5 = 0;
  std::vector<double> areas = {};  ///< Empty: too many scores to keep.
  std::int64_t samples = 0;
};

Findings judge(Judged& judged) {
  const std::size_t classes = judged.samples->class_names().size();
  Findings out{.confusion = {judged.samples->class_names(), std::vector<std::int64_t>(classes * classes, 0)}};
  const bool keep = to_size(judged.samples->count()) <= most_scores / classes;
  std::vector<float> scores;
  std::vector<std::int32_t> truth;
  double loss = 0, top5 = 0;
  classify(judged.loaded, judged.request, [&](const ClassifiedSamples& some) {
    for (std::size_t row = 0; row < some.truth.size(); ++row) {
      const auto first = some.probabilities.begin() + static_cast<std::ptrdiff_t>(row * classes);
      const auto best =
          static_cast<std::size_t>(std::max_element(first, first + static_cast<std::ptrdiff_t>(classes)) - first);
      const auto own = static_cast<std::size_t>(some.truth[row]);
      ++out.confusion.counts[own * classes + best];
      // As far as f32 tells: a probability that rounds to 0 counts as the smallest there is.
      loss -= std::log(std::max(static_cast<double>(first[some.truth[row]]), 1e-45));
    }
    top5 += top_k_accuracy({classes, some.probabilities, some.truth}, 5) * static_cast<double>(some.truth.size());
    out.samples += static_cast<std::int64_t>(some.truth.size());
    if (!keep) return;
    scores.insert(scores.end(), some.probabilities.begin(), some.probabilities.end());
    truth.insert(truth.end(), some.truth.begin(), some.truth.end());
  });
  out.loss = loss / static_cast<double>(out.samples);
  out.top5 = top5 / static_cast<double>(out.samples);
  out.accuracy = accuracy(out.confusion);
  if (keep) out.areas = roc_auc({classes, scores, truth});
  return out;
}

enum class OutputForm : std::uint8_t { text, json };

/// null where it is not a number.
Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const Findings& found, const Judged& judged) {
  Json classes = Json::array();
  const std::vector<ClassScore> scores = class_scores(found.confusion);
  for (std::size_t c = 0; c < scores.size(); ++c) {
    classes.push_back({{"name", found.confusion.names[c]},
                       {"samples", scores[c].seen},
                       {"precision", number_or_null(scores[c].precision)},
                       {"recall", number_or_null(scores[c].recall)},
                       {"f1", number_or_null(scores[c].f1)},
                       {"roc_auc", found.areas.empty() ? Json(nullptr) : number_or_null(found.areas[c])}});
  }
  return {{"checkpoint", judged.loaded.weights.taken.checkpoint},
          {"weights", name_of(judged.loaded.weights.taken.kind)},
          {"model", judged.run.model},
          {"split", judged.samples->name()},
          {"samples", found.samples},
          {"loss", number_or_null(found.loss)},
          {"accuracy", number_or_null(found.accuracy)},
          {"top5", number_or_null(found.top5)},
          {"roc_auc", number_or_null(mean_of_numbers(found.areas))},
          {"classes", classes},
          {"confusion", found.confusion.counts}};
}

std::string to_text(const Findings& found) {
  std::string out = confusion_table(found.confusion) + "\n" + class_report(found.confusion);
  out += fmt::format("top-5 accuracy {:.3f}\nloss {:.4f}\n", found.top5, found.loss);
  if (found.areas.empty()) return out + "area under ROC: left out, there are too many scores\n";
  return out +
         fmt::format("area under ROC, mean of the classes against the rest {:.4f}\n", mean_of_numbers(found.areas));
}

/// Evaluates a regression.
void tell_errors(Judged& judged, OutputForm form) {
  const Regression& task = *judged.loaded.regression;
  const Task::Evaluation found =
      task.interpret(predict_numbers(judged.loaded, judged.request, [](const PredictedSamples&) {}));
  const std::vector<TargetScore> scores = task.scores(found);
  if (form == OutputForm::text) return print_out(regression_report(scores));
  Json targets = Json::array();
  for (const TargetScore& one : scores)
    targets.push_back({{"name", one.name},
                       {"absolute_error", number_or_null(one.absolute_error)},
                       {"squared_error", number_or_null(one.squared_error)},
                       {"r2", number_or_null(one.r2)}});
  const TargetScore mean = mean_score(scores);
  print_json({{"checkpoint", judged.loaded.weights.taken.checkpoint},
              {"weights", name_of(judged.loaded.weights.taken.kind)},
              {"model", judged.run.model},
              {"split", judged.samples->name()},
              {"samples", judged.samples->count()},
              {"absolute_error", number_or_null(mean.absolute_error)},
              {"squared_error", number_or_null(mean.squared_error)},
              {"r2", number_or_null(mean.r2)},
              {"targets", targets}});
}

/// A CSV field (RFC 4180).
std::string field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

/// A line for each sample: its number, what it is, and the likeliest classes with their probabilities.
std::string lines_of(const ClassifiedSamples& samples, const std::vector<std::string>& names, std::int64_t& number,
                     std::size_t top) {
  std::string out;
  std::vector<std::size_t> order(names.size());
  for (std::size_t row = 0; row < samples.probabilities.size() / names.size(); ++row) {
    const auto probabilities = std::span(samples.probabilities).subspan(row * names.size(), names.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return probabilities[a] > probabilities[b]; });
    const bool answered = !samples.truth.empty();
    out += fmt::format("{},{}", number++, answered ? field(names[static_cast<std::size_t>(samples.truth[row])]) : "");
    for (std::size_t k = 0; k < top; ++k)
      out += fmt::format(",{},{:.6g}", field(names[order[k]]), probabilities[order[k]]);
    out += '\n';
  }
  return out;
}

void tell_classes(Judged& judged, std::size_t top, const std::function<void(const std::string&)>& tell) {
  const std::vector<std::string>& names = judged.samples->class_names();
  const std::size_t shown = std::min(top, names.size());
  std::string head = "sample,truth";
  for (std::size_t k = 1; k <= shown; ++k) head += fmt::format(",class_{},probability_{}", k, k);
  tell(head + "\n");
  std::int64_t number = 0;
  classify(judged.loaded, judged.request,
           [&](const ClassifiedSamples& samples) { tell(lines_of(samples, names, number, shown)); });
}

void tell_numbers(Judged& judged, const std::function<void(const std::string&)>& tell) {
  const std::vector<std::string> names = judged.loaded.regression->names();
  std::string head = "sample";
  for (const std::string& name : names) head += fmt::format(",{},{}", field(name), field("predicted " + name));
  tell(head + "\n");
  std::int64_t number = 0;
  predict_numbers(judged.loaded, judged.request, [&](const PredictedSamples& samples) {
    std::string lines;
    for (std::size_t k = 0; k < samples.predicted.size(); ++k) {
      if (k % names.size() == 0) lines += std::to_string(number++);
      lines += samples.truth.empty() ? "," : fmt::format(",{:.7g}", samples.truth[k]);
      lines += fmt::format(",{:.7g}", samples.predicted[k]);
      if ((k + 1) % names.size() == 0) lines += '\n';
    }
    tell(lines);
  });
}

}  // namespace

int evaluate_command(std::span<const std::string> args) {
  constexpr const char* command = "trireme evaluate";
  Asked asked;
  bool json = false;
  std::string picture;
  CommandLine line(
      {.name = command,
       .summary = "judges a trained classifier (confusion matrix, precision, recall, F1 and more) or regression "
                  "(mean absolute and squared error, R^2)",
       .examples = {"trireme evaluate runs/first", "trireme evaluate runs/first --data data/other --json",
                    "trireme evaluate runs/first/checkpoints/step_00000400 --picture confusion.png"}},
      run_or_checkpoint);
  asked.declare(line.options());
  line.options()
      .add("json", &json, "print one JSON object")
      .add("picture", &picture, "also draw the confusion matrix as a PNG file");
  const auto found = line.parse(args);
  if (!found) return 0;
  Judged judged = open(command, found->front(), asked);
  if (!judged.loaded.answered)
    fail(ExitCode::usage, "{}: the samples of split {} do not say what is to be predicted of them: use trireme predict",
         command, asked.split);
  if (judged.predicts_numbers()) {
    if (!picture.empty()) fail(ExitCode::usage, "{}: a regression has no confusion matrix to draw", command);
    tell_errors(judged, json ? OutputForm::json : OutputForm::text);
    return 0;
  }
  const Findings findings = judge(judged);
  if (json) {
    print_json(to_json(findings, judged));
  } else {
    print_out(to_text(findings));
  }
  if (!picture.empty()) write_file_atomically(picture, confusion_picture(findings.confusion), FileAccess::readable);
  return 0;
}

int predict_command(std::span<const std::string> args) {
  constexpr const char* command = "trireme predict";
  Asked asked;
  std::int64_t top = 1;
  std::string out;
  CommandLine line({.name = command,
                    .summary = "says of each sample, as CSV, which classes a trained classifier takes it for, or which "
                               "numbers a regression predicts",
                    .examples = {"trireme predict runs/first --top 3", "trireme predict runs/first --out answers.csv"}},
                   run_or_checkpoint);
  asked.declare(line.options());
  line.options()
      .add("top", &top, "likeliest classes to name", {.low = 1, .high = 1000})
      .add("out", &out, "file to write; empty: standard output");
  const auto found = line.parse(args);
  if (!found) return 0;
  Judged judged = open(command, found->front(), asked);
  std::string text;
  const auto tell = [&](const std::string& lines) {
    if (out.empty()) return print_out(lines);
    text += lines;
  };
  if (judged.predicts_numbers()) {
    tell_numbers(judged, tell);
  } else {
    tell_classes(judged, to_size(top), tell);
  }
  if (!out.empty()) write_file_atomically(out, text, FileAccess::readable);
  return 0;
}

}  // namespace trireme
