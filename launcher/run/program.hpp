// What the main program of a training run does around the trainer: run folder, going on where an earlier start of the
// run stopped, checkpoints, metrics, held-out samples, the closing report. Only the leading rank writes, but for the
// files of checkpoints.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "launcher/run/metrics.hpp"
#include "launcher/run/run_checkpoints.hpp"
#include "launcher/run/run_folder.hpp"
#include "launcher/run/session.hpp"
#include "launcher/run/trainer.hpp"

namespace trireme {

class Run {
 public:
  /// References are kept.
  Run(Session& session, const OptionSet& options, const TrainingOptions& training);
  /// Training and held-out samples, as --validation says.
  TrainingData split(const Samples& samples) const;
  /// Makes or reopens the run folder, stores the resolved options in it, and trains to the end with progress, metrics
  /// and checkpoints. Asked to stop, it saves and throws LeaveJob.
  void fit(Trainer& trainer);
  /// Another file that fit() stores in the run folder, for programs that read the run.
  void keep(const std::string& name, const std::string& text) { kept_.emplace_back(name, text); }
  void keep(const std::vector<std::pair<std::string, std::string>>& named_texts) {
    kept_.insert(kept_.end(), named_texts.begin(), named_texts.end());
  }
  /// Instead of fit(): takes all weights from --init-from and trains nothing.
  void load(Trainer& trainer) { checkpoints_.load_only(trainer); }
  /// Judges the network on test samples, records the result, says it and prints the task's report; null: no more.
  void finish(Trainer& trainer, const Samples& tests);

 private:
  std::string open_folder();
  void open_metrics(const Trainer& trainer, const std::optional<LoadedCheckpoint>& from);

  Session& session_;
  const OptionSet& options_;
  const TrainingOptions& training_;
  RunCheckpoints checkpoints_;
  std::vector<std::pair<std::string, std::string>> kept_;
  std::optional<RunFolder> folder_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<TensorBoardRun> board_;
};

}  // namespace trireme
