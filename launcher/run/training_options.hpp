// What a training run can be told: the options every example shares, grouped for --help, and the schedule and optimizer
// they describe.
#pragma once

#include "core/optim/optimizer.hpp"
#include "core/optim/schedule.hpp"
#include "datasets/sampler.hpp"
#include "launcher/run/checkpoint_options.hpp"
#include "launcher/run/options.hpp"
#include "launcher/run/precision.hpp"

namespace trireme {

/// Whether a step is queued before the host knows what the one before came to; automatic: on a GPU.
enum class RunAhead : std::uint8_t { automatic, off, on };
/// Whether what a GPU does for a micro-batch is recorded and replayed.
enum class CudaGraphs : std::uint8_t { automatic, off };

struct TrainingOptions {
  double epochs = 10;           ///< Passes over the training samples.
  std::int64_t max_steps = 0;   ///< Ends earlier after so many steps; 0: no limit.
  std::int64_t batch = 64;      ///< Samples of an optimizer step, over all ranks.
  std::int64_t accumulate = 1;  ///< Micro-batches a batch is cut into.
  std::int64_t seed = 1;
  PrecisionOptions precision = {};
  double validation = 0.1;  ///< Fraction of the training samples held out for choices.
  Order order = Order::shuffled;
  std::int64_t shuffle_block = ShuffleBlocks{}.samples;

  OptimizerOptions optimizer{.kind = OptimizerOptions::Kind::adam};
  double learning_rate = 1e-3;
  Schedule::Kind schedule = Schedule::Kind::constant;
  double warmup_epochs = 0;
  double final_rate = 0.0;      ///< Of the cosine and wsd schedules, as a fraction of learning_rate.
  double decay_fraction = 0.2;  ///< Of the wsd schedule: the share of all steps in which the rate falls.
  double step_epochs = 0;       ///< Of the step schedule.
  double step_factor = 0.1;
  double schedule_power = 2;          ///< Of the polynomial schedule.
  double cycle_rise = 0.3;            ///< Of the one-cycle schedule: the share of all steps in which the rate rises.
  std::int64_t plateau = 0;           ///< Validations without a better loss after which the rate falls; 0: it does not.
  double plateau_factor = 0.1;        ///< By how much.
  std::int64_t early_stop = 0;        ///< Validations without a better loss after which the run ends; 0: it does not.
  std::string parameter_groups = {};  ///< See core/optim/parameter_groups.hpp.
  double ema = 0;                     ///< Decay of the running average of weights; 0: there is none.
  double clip = 0;                    ///< Largest global gradient norm; 0: no limit.
  double label_smoothing = 0;
  std::int64_t max_skipped = 10;    ///< Steps in a row that may not be finite.
  double skip_outlier_loss = 0;     ///< Deviations above the last losses at which a step is passed over; 0: none is.
  double skip_outlier_norm = 0;     ///< The same for the gradient norm.
  std::int64_t validate_every = 0;  ///< Steps between validations; 0: once an epoch.
  double peak_tflops = 0;           ///< Of all ranks together, for the utilisation; 0: measured at the start.

  std::int64_t loader_threads = 1;
  double bucket_mib = 4;    ///< Size of the pieces in which gradients are reduced.
  bool communicate = true;  ///< Off: gradients stay local; only for measuring, results are wrong.
  RunAhead run_ahead = RunAhead::automatic;
  CudaGraphs cuda_graph = CudaGraphs::automatic;
  std::string profile = {};  ///< Writes a Chrome trace of some steps to this file.

  std::string run_dir = {};  ///< Empty: runs/DATE-TIME.
  bool overwrite = false;
  std::int64_t log_every = 50;
  bool tensorboard = false;
  std::int64_t tensorboard_every = 500;  ///< Steps between histograms and images; 0: none.
  std::string prometheus = {};           ///< A file for Prometheus' node exporter; empty: none.
  CheckpointOptions checkpoint = {};
  /// Fixed weights, only to be judged: there are no gradients and no moments.
  enum class Weights : std::uint8_t { trained, fixed } weights = Weights::trained;

  /// These options for judging.
  TrainingOptions frozen() const {
    TrainingOptions out = *this;
    out.weights = Weights::fixed;
    return out;
  }
  void declare(OptionSet& options);
  void declare_optimizer(OptionSet& options);
  /// With the groups the text describes; Error(usage) where it cannot be read.
  OptimizerOptions optimizer_with_groups() const;
  /// The learning rate of each step, when an epoch has `steps_per_epoch` steps.
  Schedule schedule_for(double steps_per_epoch) const;
};

}  // namespace trireme
