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

Tensor shapes_of(const ImageForm& form) {
  return Tensor::empty({1, form.height, form.width, form.channels}, DType::f32, Device::meta());
}

}  // namespace

ClassifierRun classifier_run(const std::string& path) {
  ClassifierRun run{.folder = run_of(path), .model = {}, .data = {}};
  if (run.folder.empty())
    fail(ExitCode::usage, "'{}' is no run folder (no config.ini), and no checkpoint in one", path);
  OptionSet options({.name = "image_classification", .summary = "", .sources = OptionSources::command_line_only});
  options.group("Task").add("model", &run.model, "").add("data", &run.data, "");
  options.take_from_run("run", "");
  options.parse(std::vector<std::string>{"--run", run.folder});
  const std::vector<std::string> known = image_model_names();
  if (std::ranges::find(known, run.model) == known.end())
    fail(ExitCode::usage,
         "the run '{}' has {}: only runs of image_classification can be judged here; a program of your own calls "
         "Trainer::evaluate()",
         run.folder, run.model.empty() ? "no option 'model'" : fmt::format("the unknown model '{}'", run.model));
  return run;
}

LoadedClassifier load_classifier(const std::string& path, const ClassifierRun& run, const ImageForm& form,
                                 Device device) {
  const std::vector<std::string> candidates = checkpoints_at(path);
  if (candidates.empty()) fail(ExitCode::usage, "'{}' has no checkpoint yet", path);
  LoadedClassifier out;
  out.model = make_image_model(run.model, {.height = form.height, .width = form.width, .classes = form.classes});
  out.weights = load_frozen_weights(*out.model, candidates, device,
                                    [&](Context& context) { out.model->forward(context, shapes_of(form)); });
  if (!out.weights.differences.empty())
    fail(ExitCode::usage,
         "{} was trained on images of another size or with other classes than these {} x {} x {}, {} classes: {}",
         out.weights.checkpoint, form.height, form.width, form.channels, form.classes, out.weights.differences.front());
  return out;
}

void classify(LoadedClassifier& loaded, const ClassifyRequest& request,
              const std::function<void(const ClassifiedSamples&)>& take) {
  const Stream stream(request.device);
  StepAllocator memory(request.device);
  Context context(stream, memory);
  context.begin_eval();
  const Classification task(*loaded.model, *request.samples, {});
  Loader loader(request.samples, {.batch = request.batch,
                                  .pass = Pass::evaluate,
                                  .threads = request.threads,
                                  .transforms = task.transforms(DType::f32, Mode::eval),
                                  .stream = request.device.is_cuda() ? &stream : nullptr});
  while (!loader.finished()) {
    const Batch batch = loader.next();
    const Value logits = loaded.model->forward(context, batch.field("image"));
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
