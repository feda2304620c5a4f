// The training loop. step() is the recipe of DESIGN's training step: micro-batches forward and backward, gradients
// reduced while backward runs, one message with norm, counts, loss and finite flag, one decision on all ranks, one
// update. Batches, weights and losses are the same for any number of ranks, up to rounding.
#pragma once

#include <memory>
#include <optional>

#include "comm/parallel/data_parallel.hpp"
#include "datasets/loader.hpp"
#include "launcher/run/metrics.hpp"
#include "launcher/run/session.hpp"
#include "launcher/run/task.hpp"
#include "launcher/run/training_options.hpp"

namespace trireme {

struct TrainingData {
  SubsetView train;
  std::optional<SubsetView> validation;
};

class Trainer {
 public:
  /// What one step did, the same on all ranks.
  struct Step {
    double loss = 0;           ///< Mean over the targets of the global batch, before the update.
    double gradient_norm = 0;  ///< Of the mean loss, before clipping.
    double rate = 0;
    bool skipped = false;  ///< Not finite, or no target: weights and optimizer stay as they are.
  };

  Trainer(Session& session, Task& task, const TrainingData& data, const TrainingOptions& options);
  ~Trainer();

  Step step();
  /// Steps to the end, evaluating the validation samples after each epoch; metrics go to `metrics` (null elsewhere
  /// than on the leading rank). Returns the last validation, if there is one.
  std::optional<Task::Evaluation> fit(MetricsWriter* metrics);
  /// Every sample of the view once, over all ranks; collective.
  Task::Evaluation evaluate(const SubsetView& view);

  std::int64_t steps_done() const { return steps_; }
  std::int64_t total_steps() const { return total_; }
  /// Seconds of fit() spent in training steps, without evaluations.
  double training_seconds() const { return training_seconds_; }
  const ArenaLayout& layout() const { return layout_; }
  const Planes& planes() const { return planes_; }
  const DataParallel& parallel() const { return *parallel_; }

 private:
  void check_data(const SubsetView& view) const;
  struct Sums;
  struct Progress;
  Sums micro_batches();
  Step finish(const Sums& sums);
  void report(MetricsWriter* metrics, const Step& step, Progress& progress);
  void watch_profile();

  Session& session_;
  Task& task_;
  TrainingData data_;
  TrainingOptions options_;
  StepAllocator memory_;
  Context context_;
  ArenaLayout layout_;
  Planes planes_;
  std::unique_ptr<DataParallel> parallel_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Tape> tape_;
  std::unique_ptr<Loader> loader_;
  Schedule schedule_;
  StepState state_;
  std::int64_t steps_ = 0, total_ = 0, skipped_in_a_row_ = 0;
  double training_seconds_ = 0;
};

}  // namespace trireme
