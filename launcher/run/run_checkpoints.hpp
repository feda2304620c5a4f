// Checkpoints of one training run: where it goes on from, when it saves, and how it ends when it is asked to stop.
// Stands between the trainer, which knows the state, and the Checkpointer, which writes it. All calls are collective.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "launcher/run/checkpoint_load.hpp"
#include "launcher/run/checkpointer.hpp"
#include "launcher/run/save_clock.hpp"
#include "launcher/run/session.hpp"
#include "launcher/run/stop_signal.hpp"
#include "launcher/run/trainer.hpp"

namespace trireme {

class RunCheckpoints {
 public:
  /// Signals ask for a save from now on. References are kept.
  RunCheckpoints(Session& session, const OptionSet& options, const CheckpointOptions& wanted);
  ~RunCheckpoints();

  /// Fills the trainer from where the options say, given the run's folder (the same on all ranks). Returns the
  /// checkpoint it goes on from; nothing for a fresh start (with weights of --init-from, perhaps).
  std::optional<LoadedCheckpoint> restore(Trainer& trainer, const std::string& run_folder);
  /// For a program that trains nothing: all weights and states of modules from --init-from; Error(usage) without one,
  /// or where it lacks any. Signals have their old meaning afterwards.
  void load_only(Trainer& trainer);
  /// To be called once before training; `metrics` is null elsewhere than on the leading rank.
  void start(Trainer& trainer, const std::string& run_folder, MetricsWriter* metrics);
  Wishes wishes(std::int64_t step);
  /// Those to end: a stop signal came to this rank, or the time limit is near.
  Wishes wishes_to_leave() const;
  /// Saves where it was agreed. Throws LeaveJob(resume_me) after a stop, Error(storage) where that save failed.
  void after_step(const Wishes& wishes);
  /// The last save; Error(storage) where it failed. Signals have their old meaning afterwards.
  void finish();

 private:
  std::vector<std::string> take_weights(Trainer& trainer, WeightKind kind);
  CheckpointManifest head() const;
  void save();
  void save_or_fail(const std::string& why);
  std::string what_goes_on() const;
  void save_and_leave(const Wishes& wishes);
  void hear(const std::optional<SaveReport>& report);
  void check_options(const LoadedCheckpoint& from) const;
  void check_data(const LoadedCheckpoint& from, const Trainer& trainer) const;
  /// Takes away what a killed start left half done, before anything is looked for.
  void clean(const std::string& run_folder);
  /// Refuses --resume with an older checkpoint of this very run, which would be passed over without a word.
  void check_not_left_behind(const std::string& run_folder, const std::vector<std::string>& own) const;

  Session& session_;
  const OptionSet& options_;
  const CheckpointOptions& wanted_;
  std::optional<StopSignals> signals_;
  double started_ = 0, last_step_at_ = 0;
  Trainer* trainer_ = nullptr;
  MetricsWriter* metrics_ = nullptr;
  std::unique_ptr<SaveClock> clock_;
  std::unique_ptr<Checkpointer> checkpointer_;
  std::int64_t saved_step_ = -1;
  std::string last_error_, run_folder_;
};

}  // namespace trireme
