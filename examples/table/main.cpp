// Trains a network on the rows of a table, to tell their class or to predict numbers, whichever the data set is made
// for:
//   trireme data import csv houses.csv --target price --regression --standardise --test-fraction 0.2 --out data/houses
//   trireme launch -n 2 -- table --data data/houses --hidden 64,64
#include "core/models/table_models.hpp"
#include "launcher/run/program.hpp"
#include "launcher/run/regression.hpp"
#include "launcher/run/table_classification.hpp"

using namespace trireme;

int main(int argc, char** argv) {
  std::string data;
  TableModelOptions network;
  RegressionOptions regression;
  TrainingOptions training;
  OptionSet options({.name = "table",
                     .summary = "Trains a network on the rows of a table: a classifier or a regression.",
                     .examples = {"table --data data/houses --loss smooth --hidden 128,128 --epochs 50"}});
  options.group("Task")
      .add("data", &data, "folder of the data set (trireme data import csv)")
      .add("hidden", &network.hidden, "widths of the hidden layers")
      .add("dropout", &network.dropout, "share of values dropped in hidden layers", {.low = 0, .high = 0.95})
      .add("loss", &regression.loss, "of a regression",
           {{"squared", RegressionOptions::Loss::squared},
            {"absolute", RegressionOptions::Loss::absolute},
            {"smooth", RegressionOptions::Loss::smooth}})
      .add("loss-width", &regression.width, "difference at which the smooth loss becomes the absolute one",
           {.low = 1e-9});
  training.declare(options);
  return run_program(options, {argc, argv}, [&](Session& session) {
    const Dataset table = Dataset::open(data);
    const auto split = table.split("train");
    const TableForm form = TableForm::of(*split);
    network.outputs = form.outputs;
    Sequential model = make_table_model(network);
    std::unique_ptr<Task> task;
    if (form.task == TableForm::Task::regression) {
      task = std::make_unique<Regression>(model, *split, regression);
    } else {
      task = std::make_unique<TableClassification>(model, *split, training.label_smoothing);
    }
    Run run(session, options, training);
    run.keep("table.json", table_text(*split));
    Trainer trainer(session, *task, run.split(split), training);
    run.fit(trainer);
    run.finish(trainer, table.has_split("test") ? table.split("test") : nullptr);
  });
}
