#include "launcher/run/program.hpp"

namespace trireme {

Run::Run(Session& session, const OptionSet& options, const TrainingOptions& training)
    : session_(session), options_(options), training_(training) {}

TrainingData Run::split(std::shared_ptr<const Split> samples) const {
  const SubsetView all(std::move(samples));
  if (training_.validation <= 0) return {all, std::nullopt};
  const TrainValidation views(all, training_.validation, static_cast<std::uint64_t>(training_.seed));
  return {views.train, views.validation};
}

void Run::fit(Trainer& trainer) {
  if (session_.leads()) {
    const ExistingRun existing = training_.overwrite ? ExistingRun::overwrite : ExistingRun::refuse;
    folder_.emplace(RunFolderSettings{.path = training_.run_dir, .existing = existing});
    folder_->write_config(options_.to_ini());
    metrics_ = std::make_unique<MetricsWriter>(MetricsSettings{.file = folder_->metrics_file(),
                                                               .total_steps = trainer.total_steps(),
                                                               .terminal_columns = terminal_columns(1)});
    metrics_->line(fmt::format("{} parameters, {} steps of {} samples on {} rank(s); run folder {}",
                               trainer.layout().parameters(), trainer.total_steps(), training_.batch,
                               session_.world().size(), folder_->path()));
  }
  validation_ = trainer.fit(metrics_.get());
}

void Run::finish(const Trainer& trainer, const Task::Evaluation& test) {
  if (!session_.leads()) return;
  Summary summary{{"steps", static_cast<double>(trainer.steps_done())},
                  {"training_seconds", trainer.training_seconds()},
                  {"test_loss", test.loss},
                  {"test_accuracy", test.accuracy}};
  if (validation_) summary.emplace_back("validation_accuracy", validation_->accuracy);
  metrics_->summary(summary);
  metrics_->line(fmt::format("test accuracy {:.2f} %, loss {:.4f}, after {:.1f} s of training", 100 * test.accuracy,
                             test.loss, trainer.training_seconds()));
}

std::string full_report(const ConfusionMatrix& matrix) {
  return fmt::format("\n{}\n{}", confusion_table(matrix), class_report(matrix));
}

}  // namespace trireme
