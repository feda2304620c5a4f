// Trains a small network of every family in one job, each with a run folder, once to the end and once with a stop on
// the way: to start ranks takes longer than to train them.
#include "core/models/image_models.hpp"
#include "datasets/dataset.hpp"
#include "launcher/run/classification.hpp"
#include "launcher/run/program.hpp"
#include "tests/law/model_families.hpp"

using namespace trireme;

namespace {

constexpr std::int64_t classes = 10;

std::unique_ptr<Module> network(const ModelFamily& family) {
  if (family.image_model)
    return make_image_model(family.name, {.height = family.side, .width = family.side, .classes = classes, .thin = 16});
  return std::make_unique<Sequential>(layer_family(family.name, classes));
}

}  // namespace

int main(int argc, char** argv) {
  std::string data, runs;
  std::int64_t steps = 4, stop = 0;
  TrainingOptions training{.batch = 6, .validation = 0, .log_every = 1};
  OptionSet options({.name = "family_probe", .summary = "Trains a small network of every family."});
  options.group("Run")
      .add("data", &data, "folder with the data sets shapes-SIDE")
      .add("runs", &runs, "folder for a run folder of each family")
      .add("steps", &steps, "of each run")
      .add("stop", &stop, "steps after which each run ends, to go on from its checkpoint; 0: it does not stop");
  training.declare(options);
  return run_program(options, {argc, argv}, [&](Session& session) {
    for (const ModelFamily& family : model_families()) {
      const auto split = Dataset::open(fmt::format("{}/shapes-{}", data, family.side)).split("train");
      TrainingOptions own = training;
      own.optimizer.kind = family.optimizer;
      own.learning_rate = family.rate;
      own.ema = family.ema;
      own.parameter_groups = family.groups;
      own.run_dir = runs + "/" + family.name;
      for (const std::int64_t last : {stop, steps}) {
        if (last == 0) continue;
        own.max_steps = last;
        const auto model = network(family);
        Classification task(*model, *split, {});
        Run run(session, options, own);
        Trainer trainer(session, task, {split}, own);
        run.fit(trainer);
      }
    }
  });
}
