#include "launcher/run/program.hpp"

#include "launcher/run/print.hpp"

namespace trireme {

Run::Run(Session& session, const OptionSet& options, const TrainingOptions& training)
    : session_(session), options_(options), training_(training), checkpoints_(session, options, training.checkpoint) {}

TrainingData Run::split(const Samples& samples) const {
  const TrainValidation parts(samples, training_.validation, static_cast<std::uint64_t>(training_.seed));
  return {parts.train, parts.validation};
}

/// The leading rank makes or reopens the folder; all learn its path.
std::string Run::open_folder() {
  std::string path;
  if (session_.leads()) {
    const ExistingRun existing = training_.overwrite                      ? ExistingRun::overwrite
                                 : training_.checkpoint.resume == "never" ? ExistingRun::refuse
                                                                          : ExistingRun::open_or_create;
    folder_.emplace(RunFolderSettings{.path = training_.run_dir, .existing = existing});
    path = folder_->path();
  }
  return session_.world().all_gather_text(path).front();
}

void Run::open_metrics(const Trainer& trainer, const std::optional<LoadedCheckpoint>& from) {
  if (!folder_) return;
  folder_->write_config(options_.to_ini());
  for (const auto& [name, text] : kept_) folder_->write_file(name, text);
  folder_->write_file("plan.json", fmt::format("{{\"steps\":{}}}\n", trainer.total_steps()));
  metrics_ = std::make_unique<MetricsWriter>(MetricsSettings{.file = folder_->metrics_file(),
                                                             .first_step = trainer.steps_done(),
                                                             .elapsed_before = trainer.state().elapsed_seconds,
                                                             .total_steps = trainer.total_steps(),
                                                             .prometheus = training_.prometheus,
                                                             .terminal_columns = terminal_columns(1)});
  metrics_->line(fmt::format("{} parameters, {} steps of {} samples on {} rank(s); run folder {}",
                             trainer.layout().parameters(), trainer.total_steps(), training_.batch,
                             session_.world().size(), folder_->path()));
  // Said while there is somebody to say it: a killed run has no last words.
  if (training_.run_dir.empty())
    metrics_->line(
        fmt::format("if this run is interrupted, the same command with --run-dir {} goes on with it", folder_->path()));
  if (training_.tensorboard) {
    board_ = std::make_unique<TensorBoardRun>(TensorBoardRunSettings{.folder = folder_->tensorboard_folder(),
                                                                     .first_step = trainer.steps_done(),
                                                                     .every = training_.tensorboard_every});
    board_->hyperparameters(options_.resolved());
  }
  if (!from) return;
  metrics_->event(trainer.steps_done(), "resume", fmt::format("from {}", from->path));
  metrics_->line(fmt::format("going on after step {} from {}", trainer.steps_done(), from->path));
}

void Run::fit(Trainer& trainer) {
  const std::string folder = open_folder();
  open_metrics(trainer, checkpoints_.restore(trainer, folder));
  checkpoints_.start(trainer, folder, metrics_.get());
  trainer.fit({.metrics = metrics_.get(),
               .board = board_.get(),
               .wishes = [&](std::int64_t step) { return checkpoints_.wishes(step); },
               .wishes_to_leave = [&] { return checkpoints_.wishes_to_leave(); },
               .after_step = [&](const Wishes& wishes) { checkpoints_.after_step(wishes); }});
  checkpoints_.finish();
}

void Run::finish(Trainer& trainer, const Samples& tests) {
  if (!tests) return;
  const Task::Evaluation test = trainer.evaluate(tests);
  if (!session_.leads()) return;
  Summary summary{{"steps", static_cast<double>(trainer.steps_done())},
                  {"training_seconds", trainer.state().training_seconds},
                  {"skipped_steps", static_cast<double>(trainer.state().skipped)},
                  {"test_loss", test.loss}};
  std::string said;
  if (test.accuracy) {
    summary.emplace_back("test_accuracy", *test.accuracy);
    said += fmt::format("accuracy {:.2f} %, ", 100 * *test.accuracy);
  }
  if (test.absolute_error && test.squared_error) {
    summary.emplace_back("test_absolute_error", *test.absolute_error);
    summary.emplace_back("test_squared_error", *test.squared_error);
    said += fmt::format("mean absolute error {:.4g}, mean squared error {:.4g}, ", *test.absolute_error,
                        *test.squared_error);
  }
  if (training_.precision.scales_loss())
    summary.emplace_back("overflowed_steps", static_cast<double>(trainer.state().overflows));
  if (const auto accuracy = trainer.state().validation_accuracy) summary.emplace_back("validation_accuracy", *accuracy);
  metrics_->summary(summary);
  metrics_->line(
      fmt::format("test {}loss {:.4f}, after {:.1f} s of training", said, test.loss, trainer.state().training_seconds));
  print_out("\n" + trainer.task().report(test));
}

}  // namespace trireme
