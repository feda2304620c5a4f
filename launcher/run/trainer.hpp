// The training loop. A step is micro-batches forward and backward, gradients reduced while backward runs, one message
// with norm, counts, loss and finite flag, one decision on all ranks, one update. Batches, weights and losses are the
// same for any number of ranks, up to rounding.
//
// On a GPU the host only queues: message and decision are made there. It learns what a step came to at the latest
// before it queues the next one's update, so weights are still those before a step that turns out to be unusable, and
// earlier where it has to: before it prints, validates or saves, and at once where outliers are to be passed over,
// which only the history of losses tells, and where the loss scale is searched. On a CPU every step is known when it is
// done, unless --run-ahead says otherwise.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "comm/parallel/data_parallel.hpp"
#include "core/optim/optimizer.hpp"
#include "core/optim/outlier.hpp"
#include "core/optim/schedule.hpp"
#include "core/optim/step_control.hpp"
#include "datasets/loader.hpp"
#include "launcher/run/checkpointer.hpp"
#include "launcher/run/metrics.hpp"
#include "launcher/run/session.hpp"
#include "launcher/run/step_graphs.hpp"
#include "launcher/run/task.hpp"
#include "launcher/run/tensorboard_run.hpp"
#include "launcher/run/training_options.hpp"

namespace trireme {

struct TrainingData {
  Samples train;
  Samples validation = nullptr;  ///< Null: none.
};

/// What a rank asks all ranks for after a step: 1 or 0 of one rank, a number of ranks in the sum over all.
struct Wishes {
  static constexpr std::int64_t count = 3;
  double save = 0;  ///< A checkpoint.
  double stop = 0;  ///< To save and end: a signal came.
  double time = 0;  ///< To save and end: the time limit is near.
  bool any() const { return save > 0 || stop > 0 || time > 0; }
};

/// What a trainer counts besides its tensors; a checkpoint keeps it.
struct TrainerState {
  std::int64_t steps = 0;    ///< Optimizer steps done, skipped ones included.
  std::int64_t samples = 0;  ///< Position in the global sample stream.
  std::int64_t skipped = 0, skipped_in_a_row = 0;
  double training_seconds = 0;  ///< Spent in steps, by all starts of the run that led here.
  double elapsed_seconds = 0;   ///< The same with evaluations and saves.
  LossScale loss_scale = {};
  std::int64_t overflows = 0;  ///< Steps given up in the search for the loss scale.
  std::int64_t outliers = 0;   ///< Steps passed over for their loss or gradient norm.
  OutlierWindow losses = {}, norms = {};
  std::optional<double> validation_loss = {}, validation_accuracy = {};  ///< Of the last validation.
  bool validation_due = false;  ///< After the last step, which a stop request cut off.
  Plateau::State plateau = {};  ///< The rate's factor, and the validations it follows from.
  Improvement improvement = {};
  bool stopped_early = false;  ///< Too many validations brought no better loss.

  Json to_json() const;
  /// Error(corrupt_input) where a number is missing.
  static TrainerState from_json(const Json& json);
};

class Trainer {
 public:
  /// What one step did, the same on all ranks.
  struct Step {
    double loss = 0;           ///< Mean over the targets of the global batch, before the update.
    double gradient_norm = 0;  ///< Of the mean loss, before clipping.
    double rate = 0;
    /// Not finite, without a target, or an outlier: weights and optimizer stay as they are.
    bool skipped = false;
    bool overflowed = false;   ///< Skipped, because the loss scale was too large.
    std::string outlier = {};  ///< What stood out; empty: nothing.
  };
  /// What fit() tells and asks; each may be empty.
  struct Hooks {
    MetricsWriter* metrics = nullptr;  ///< Null elsewhere than on the leading rank.
    TensorBoardRun* board = nullptr;   ///< Null where nothing is to be shown.
    /// This rank's wishes after step number `step`.
    std::function<Wishes(std::int64_t step)> wishes = nullptr;
    /// The same inside a validation, where only those to end count.
    std::function<Wishes()> wishes_to_leave = nullptr;
    /// After the records of a step are written, with the wishes of all ranks added up. Where there are any, everything
    /// is known of the step.
    std::function<void(const Wishes&)> after_step = nullptr;
  };

  Trainer(Session& session, Task& task, const TrainingData& data, const TrainingOptions& options);
  const Task& task() const { return task_; }
  ~Trainer();

  /// One step, of which all is known.
  Step step();
  /// Steps to the end, evaluating the validation samples after each epoch.
  void fit(const Hooks& hooks);
  /// Every sample once, over all ranks; collective. With --ema it judges the average of the weights.
  Task::Evaluation evaluate(const Samples& samples);

  /// The validation samples; Error(usage) where there are none.
  Task::Evaluation evaluate_held_out();

  /// For passes of the program's own.
  Context& context() { return context_; }
  std::int64_t steps_done() const { return counts_.steps; }
  std::int64_t total_steps() const { return total_; }
  /// Counts, and the tensors a checkpoint needs: parameters, optimizer moments, their average, states of modules.
  const TrainerState& state() const { return counts_; }
  std::vector<NamedTensor> tensors() const;
  /// Goes on from counts whose tensors have been filled.
  void restore(const TrainerState& state);
  /// To be called after the weights were replaced by others: rounds masters into parameters, forgets copies libraries
  /// made of these, and begins their average anew.
  void parameters_changed();
  const SampleSource& training_data() const { return *data_.train; }
  const ArenaLayout& layout() const { return layout_; }
  const Planes& planes() const { return planes_; }
  const DataParallel& parallel() const { return *parallel_; }

 private:
  struct Votes;
  struct Progress;
  /// A step whose update is queued.
  struct Queued {
    std::int64_t number = 0;   ///< From 1.
    std::int64_t samples = 0;  ///< Position of its first sample.
    double exact = 0;          ///< Factor from summed to mean gradients.
    double broken = 0;         ///< Ranks whose numbers were not finite.
    bool known = false;
    Step step = {};
  };
  void check_data(const SampleSource& samples) const;
  Wishes take_step();
  void micro_batches();
  void micro_batch(const Batch& batch, std::int64_t number);
  void run_micro_batch(const Batch& batch);
  Votes send_message();
  void learn();
  void settle();
  ArenaLayout plan(std::int64_t rows) const;
  void weights_changed();
  class Averaged;
  void judge(double validation_loss);
  struct PassOf {
    Tape& tape;
    Peers& peers;
    const StepState& state;
    const StepState* device_state;
  };
  Task::Loss forward(const Batch& batch, const PassOf& pass);
  std::unique_ptr<Loader> open_loader(std::int64_t position, std::int64_t threads) const;
  const Stream* batch_stream() const;
  void plan_steps();
  void use_tf32();
  std::int64_t epoch() const { return counts_.samples / data_.train->count(); }
  void count_skip(const Queued& queued);
  bool overflowed(const Queued& queued) const;
  void count_overflow(const Queued& queued);
  std::string outlier_of(const Step& step);
  std::string find_culprit(const Queued& queued);
  std::string replay(const Queued& queued, Peers& peers);
  bool report_due() const;
  bool validates_now(std::int64_t epoch_before) const;
  void report(Progress& progress);
  void show_images(const Batch& batch);
  void show_gradients();
  void show_sample();
  void validate(Progress& progress);
  bool leaving();
  /// Nothing where a wish to leave ended it early; cut_off_ says which.
  std::optional<Task::Evaluation> evaluate_unless_stopped(const Samples& samples);
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
  std::unique_ptr<StepControl> control_;
  std::unique_ptr<StepGraphs> graphs_;  // null: nothing is recorded
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<WeightAverage> average_;  // null: there is none
  std::unique_ptr<Tape> tape_;
  std::unique_ptr<Loader> loader_;
  Schedule schedule_;
  bool ahead_;       // the host may be a step ahead
  StepState state_;  // for the host; control_ has the one kernels read
  TrainerState counts_;
  std::optional<Queued> queued_;
  Step last_;  // the last one that is known
  std::int64_t total_ = 0;
  double peak_flops_ = 0;   // of all ranks together; 0: not asked for
  std::string first_skip_;  // which step, tensor and rank began the present row of skipped steps
  Wishes cut_off_;          // what ended the last validation before its end
  Hooks hooks_;
};

}  // namespace trireme
