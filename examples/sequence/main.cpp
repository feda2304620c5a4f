// Trains an LSTM or GRU to tell the class of a text (the language of a name, say), on one rank or many, and reports on
// its test texts:
//   trireme data generate names --out data/names
//   trireme launch -n 2 -- sequence --data data/names
#include "datasets/open_samples.hpp"
#include "launcher/run/program.hpp"
#include "launcher/run/text_classification.hpp"

using namespace trireme;

int main(int argc, char** argv) {
  std::string data = "data/names";
  TextNetworkOptions network;
  TrainingOptions training{
      .batch = 128, .learning_rate = 3e-3, .schedule = Schedule::Kind::cosine, .warmup_epochs = 0.25};
  OptionSet options({.name = "sequence",
                     .summary = "Trains an LSTM or GRU that tells the class of a text.",
                     .examples = {"trireme launch -n 2 -- sequence --cell gru --bidirectional --epochs 5"}});
  options.group("Task").add("data", &data,
                            "folder of the data set (trireme data import lines, trireme data generate names)");
  network.declare(options.group("Task"));
  training.declare(options);
  return run_program(options, {argc, argv}, [&](Session& session) {
    const Samples texts = open_samples({.data = data});
    SequenceClassifier model = network.make(TextForm::of(*texts));
    TextClassification task(model, *texts, training.label_smoothing);
    Run run(session, options, training);
    Trainer trainer(session, task, run.split(texts), training);
    run.fit(trainer);
    run.finish(trainer, open_samples({.data = data, .split = "test", .missing = SampleRequest::Missing::pass_over}));
  });
}
