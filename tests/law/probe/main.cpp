// A training run that tells everything: trains one of several small networks and writes losses and final weights as
// JSON, so that tests can compare runs on different numbers of ranks, and runs of the same thing twice.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "comm/agreement.hpp"
#include "core/io/json.hpp"
#include "core/nn/layers.hpp"
#include "datasets/dataset.hpp"
#include "launcher/run/classification.hpp"
#include "launcher/run/session.hpp"
#include "launcher/run/trainer.hpp"

using namespace trireme;

namespace {

constexpr auto relu = ops::Activation::relu;

Sequential make(const std::string& name, std::int64_t classes) {
  if (name == "mlp") return Sequential(Flatten(), Linear(24, {.activation = relu}), Linear(classes));
  if (name == "dropout") return Sequential(Flatten(), Linear(24), Relu(), Dropout(0.3), Linear(classes));
  if (name == "cnn")
    return Sequential(Conv2d(6, {.padding = 1, .activation = relu}), MaxPool2d(2), Conv2d(8, {.activation = relu}),
                      Flatten(), Linear(classes));
  // The bias before a norm has no influence and an analytically zero gradient, so there is none.
  ops::BatchNormOptions norm;
  if (name == "ghost") norm.statistics = ops::GhostGroups{.size = 4};
  return Sequential(Conv2d(6, {.padding = 1, .bias = Bias::no}), BatchNorm(norm), Relu(), MaxPool2d(2), Flatten(),
                    Linear(16, {.bias = Bias::no}), BatchNorm(norm), Relu(), Linear(classes));
}

Json values_of(const Tensor& tensor) {
  std::vector<double> out;
  with_floating(tensor.dtype(), "probe", [&](auto zero) {
    for (const auto value : tensor.to_vector<decltype(zero)>()) out.push_back(static_cast<double>(value));
  });
  return out;
}

void write(const std::string& path, const std::string& text) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "w"), std::fclose);
  require(file != nullptr && std::fputs(text.c_str(), file.get()) >= 0, "writing {} failed", path);
}

}  // namespace

int main(int argc, char** argv) {
  std::string data, model_name = "mlp", out;
  TrainingOptions training{.max_steps = 20, .batch = 12, .validation = 0};
  OptionSet options({.name = "training_probe", .summary = "Trains a small network and writes all it did as JSON."});
  options.group("Probe")
      .add("data", &data, "folder of the data set")
      .add("model", &model_name, "the network", {"mlp", "dropout", "cnn", "norm", "ghost"})
      .add("out", &out, "the JSON file");
  training.declare(options);
  return run_program(options, {argc, argv}, [&](Session& session) {
    const Dataset images = Dataset::open(data);
    const auto split = images.split("train");
    Sequential model = make(model_name, ImageForm::of(*split).classes);
    Classification task(model, *split, {.label_smoothing = training.label_smoothing});
    Trainer trainer(session, task, {split}, training);
    Json losses = Json::array(), norms = Json::array(), weights = Json::object();
    while (trainer.steps_done() < trainer.total_steps()) {
      const Trainer::Step step = trainer.step();
      losses.push_back(step.loss);
      norms.push_back(step.gradient_norm);
    }
    const Task::Evaluation test = trainer.evaluate(images.split("test"));
    check_same(session.world(), trainer.planes().param, "the parameters");
    for (const NamedParameter& p : parameters_of(model)) weights[p.name] = values_of(p.parameter->value());
    for (const NamedState& s : states_of(model)) weights[s.name] = values_of(s.state->value());
    if (session.leads())
      write(out, Json{{"losses", losses}, {"norms", norms}, {"weights", weights}, {"test", test.sums}}.dump());
  });
}
