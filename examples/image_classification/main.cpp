// Trains an image classifier on a sharded HDF5 data set, on one rank or many, and reports on its test images:
//   trireme launch -n 2 -- image_classification --data data/fashion-mnist
#include "core/models/image_models.hpp"
#include "datasets/open_samples.hpp"
#include "launcher/run/classification.hpp"
#include "launcher/run/program.hpp"

using namespace trireme;

int main(int argc, char** argv) {
  std::string data = "data/fashion-mnist", model_name = "cnn", augment = "none";
  TrainingOptions training{.schedule = Schedule::Kind::cosine, .warmup_epochs = 0.25};
  double dropout = 0.5;
  OptionSet options({.name = "image_classification",
                     .summary = "Trains an image classifier.",
                     .examples = {"trireme launch -n 2 -- image_classification --model seed-cnn --epochs 3"}});
  options.group("Task")
      .add("data", &data,
           "data set (trireme data import, generate), or several with their shares of the stream: DIR=3,DIR=1")
      .add("model", &model_name, "the network; images of at most 64 pixels get its form for small ones",
           image_model_names())
      .add("dropout", &dropout, "share of values dropped in hidden layers of the head", {.low = 0, .high = 0.95})
      .add("augment", &augment,
           "random changes of training images, in order, such as shift=4,flip,mixup=0.2 (docs/images.md)");
  training.declare(options);
  return run_program(options, {argc, argv}, [&](Session& session) {
    const Samples images = open_samples({.data = data});
    const ImageForm form = ImageForm::of(*images);
    const auto model = make_image_model(
        model_name, {.height = form.height, .width = form.width, .classes = form.classes, .dropout = dropout});
    Classification task(*model, *images, {.label_smoothing = training.label_smoothing, .augment = augment});
    Run run(session, options, training);
    Trainer trainer(session, task, run.split(images), training);
    run.fit(trainer);
    run.finish(trainer, open_samples({.data = data, .split = "test", .missing = SampleRequest::Missing::pass_over}));
  });
}
