// Trains an image classifier on a sharded HDF5 data set, on one rank or many, and reports on its test images:
//   trireme launch -n 2 -- image_classification --data data/fashion-mnist
#include <cstdio>

#include "core/nn/layers.hpp"
#include "launcher/run/classification.hpp"
#include "launcher/run/program.hpp"

using namespace trireme;

namespace {

constexpr auto relu = ops::Activation::relu;

Sequential cnn(std::int64_t classes) {
  return Sequential(Conv2d(32, {.kernel = 5, .padding = 2}), MaxPool2d(2, {.activation = relu}),  //
                    Conv2d(64, {.kernel = 3, .padding = 1}), MaxPool2d(2, {.activation = relu}),  //
                    Flatten(), Linear(128, {.activation = relu}), Dropout(0.5), Linear(classes));
}

Sequential seed_cnn(std::int64_t classes) {
  return Sequential(Conv2d(32), MaxPool2d(2, {.activation = relu}), Conv2d(64), MaxPool2d(2, {.activation = relu}),
                    Conv2d(64, {.activation = relu}), Flatten(), Linear(64, {.activation = relu}), Linear(classes));
}

Sequential mlp(std::int64_t classes) {
  return Sequential(Flatten(), Linear(256, {.activation = relu}), Linear(128, {.activation = relu}), Linear(classes));
}

}  // namespace

int main(int argc, char** argv) {
  std::string data = "data/fashion-mnist", model_name = "cnn";
  TrainingOptions training{.schedule = Schedule::Kind::cosine, .warmup_epochs = 0.25};
  Augment augment = Augment::none;
  OptionSet options({.name = "image_classification",
                     .summary = "Trains an image classifier.",
                     .examples = {"trireme launch -n 2 -- image_classification --model seed-cnn --epochs 3"}});
  options.group("Task")
      .add("data", &data, "folder of the data set (trireme data import, trireme data generate)")
      .add("model", &model_name, "the network", {"cnn", "mlp", "seed-cnn"})
      .add("augment", &augment, "random changes of training images",
           {{"none", Augment::none}, {"flip", Augment::flip}, {"shift-flip", Augment::shift_flip}});
  training.declare(options);
  return run_program(options, {argc, argv}, [&](Session& session) {
    const Dataset images = Dataset::open(data);
    const auto split = images.split("train");
    const auto classes = ImageForm::of(*split).classes;
    Sequential model = model_name == "mlp" ? mlp(classes) : model_name == "seed-cnn" ? seed_cnn(classes) : cnn(classes);
    Classification task(model, *split, {.label_smoothing = training.label_smoothing, .augment = augment});
    Run run(session, options, training);
    Trainer trainer(session, task, run.split(split), training);
    run.fit(trainer);
    if (!images.has_split("test")) return;
    const Task::Evaluation test = trainer.evaluate(images.split("test"));
    run.finish(trainer, test);
    if (session.leads()) std::fputs(full_report(task.confusion(test)).c_str(), stdout);
  });
}
