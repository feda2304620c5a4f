#include "launcher/run/training_options.hpp"

#include <cmath>

namespace trireme {
namespace {

void declare_order(OptionGroup& group, TrainingOptions& options) {
  group
      .add("shuffle", &options.order, "order of the training samples; blocks: for disks that are slow to seek",
           {{"samples", Order::shuffled}, {"blocks", Order::blocks}})
      .add("shuffle-block", &options.shuffle_block, "neighbouring samples that --shuffle blocks keeps near each other",
           {.low = 1, .high = 1 << 30});
}

void declare_schedule(OptionGroup& group, TrainingOptions& options) {
  using Kind = Schedule::Kind;
  group
      .add("schedule", &options.schedule,
           "how the rate changes: constant, cosine, step, wsd (warm-up, stable, decay), linear, polynomial, one-cycle",
           {{"constant", Kind::constant},
            {"cosine", Kind::cosine},
            {"step", Kind::step},
            {"wsd", Kind::wsd},
            {"linear", Kind::linear},
            {"polynomial", Kind::polynomial},
            {"one-cycle", Kind::one_cycle}})
      .add("warmup-epochs", &options.warmup_epochs, "linear rise at the start, of all schedules but one-cycle",
           {.low = 0, .high = 1e6})
      .add("final-rate", &options.final_rate,
           "last rate of cosine, wsd, linear, polynomial and one-cycle, as a fraction of the peak",
           {.low = 0, .high = 1})
      .add("decay-fraction", &options.decay_fraction, "share of all steps in which the rate of wsd falls",
           {.low = 0, .high = 1})
      .add("step-epochs", &options.step_epochs, "epochs between the falls of the step schedule",
           {.low = 0, .high = 1e6})
      .add("step-factor", &options.step_factor, "factor of each fall", {.low = 0, .high = 1})
      .add("schedule-power", &options.schedule_power, "power of the polynomial schedule", {.low = 0, .high = 100})
      .add("cycle-rise", &options.cycle_rise, "share of all steps in which the rate of one-cycle rises",
           {.low = 0, .high = 1})
      .add("plateau", &options.plateau, "validations without a better loss after which the rate falls; 0: it does not",
           {.low = 0, .high = 1 << 30})
      .add("plateau-factor", &options.plateau_factor, "factor of such a fall", {.low = 0, .high = 1})
      .add("early-stop", &options.early_stop,
           "validations without a better loss after which the training ends; 0: it does not",
           {.low = 0, .high = 1 << 30});
}

}  // namespace

void TrainingOptions::declare(OptionSet& options) {
  options.group("Training")
      .add("epochs,e", &epochs, "passes over the training samples", {.low = 0, .high = 1e6})
      .add("max-steps", &max_steps, "end after so many steps; 0: no limit", {.low = 0})
      .add("batch,b", &batch, "samples of an optimizer step, over all ranks", {.low = 1, .high = 1 << 24})
      .add("accumulate", &accumulate, "micro-batches a batch is cut into", {.low = 1, .high = 1 << 16})
      .add("seed", &seed, "of first weights, sample order, dropout and the validation split", {.low = 0})
      .add("validation", &validation, "fraction of the training samples held out", {.low = 0, .high = 0.9})
      .add("label-smoothing", &label_smoothing, "part of the target spread over all classes",
           {.low = 0, .high = 0.999});
  precision.declare(options.group("Training"));
  declare_order(options.group("Training"), *this);
  declare_optimizer(options);
  options.group("Run")
      .add("run-dir", &run_dir, "folder for configuration, metrics and logs")
      .add("overwrite", &overwrite, "replace the run folder if it is there")
      .add("validate-every", &validate_every, "steps between validations; 0: after each epoch", {.low = 0})
      .add("peak-tflops", &peak_tflops,
           "peak rate of arithmetic of all ranks together in 10^12/s, for the utilisation; 0: measured at the start",
           {.low = 0, .high = 1e9})
      .add("log-every", &log_every, "steps between lines of progress and records", {.low = 1})
      .add("tensorboard", &tensorboard, "write event files for TensorBoard into the run folder")
      .add("tensorboard-every", &tensorboard_every, "steps between histograms of gradients and images; 0: none",
           {.low = 0})
      .add("prometheus", &prometheus, "keep this file up to date for Prometheus' node exporter: /DIR/trireme.prom")
      .add("loader-threads", &loader_threads, "threads that prepare batches, per rank; 0: none",
           {.low = 0, .high = 256})
      .add("bucket-mib", &bucket_mib, "size of the pieces in which gradients are reduced", {.low = 0.001, .high = 4096})
      .add("communicate", &communicate, "off: gradients are not reduced, only for measuring (results are wrong)")
      .add("run-ahead", &run_ahead, "on: a step is queued before the host knows the loss of the last; auto: on a GPU",
           {{"auto", RunAhead::automatic}, {"off", RunAhead::off}, {"on", RunAhead::on}})
      .add("cuda-graph", &cuda_graph, "auto: a GPU's work of a micro-batch is recorded and replayed where it can be",
           {{"auto", CudaGraphs::automatic}, {"off", CudaGraphs::off}})
      .add("profile", &profile, "write a Chrome trace of steps 20 to 40 (or the second half of fewer) to this file");
  checkpoint.declare(options);
}

void TrainingOptions::declare_optimizer(OptionSet& options) {
  using Kind = OptimizerOptions::Kind;
  options.group("Optimizer")
      .add("optimizer", &optimizer.kind, "sgd, adam, adamw, rmsprop, lion, lamb, adafactor or muon",
           {{"sgd", Kind::sgd},
            {"adam", Kind::adam},
            {"adamw", Kind::adamw},
            {"rmsprop", Kind::rmsprop},
            {"lion", Kind::lion},
            {"lamb", Kind::lamb},
            {"adafactor", Kind::adafactor},
            {"muon", Kind::muon}})
      .add("learning-rate", &learning_rate, "the peak rate", {.low = 0, .high = 1e3})
      .add("momentum", &optimizer.momentum, "of sgd, rmsprop and muon", {.low = 0, .high = 0.99999})
      .add("nesterov", &optimizer.nesterov, "momentum of sgd and muon after Nesterov",
           {{"off", OptimizerOptions::Nesterov::off}, {"on", OptimizerOptions::Nesterov::on}})
      .add("beta1", &optimizer.beta1, "of adam, adamw, lion, lamb, and muon's parameters that are no matrix",
           {.low = 0, .high = 0.99999})
      .add("beta2", &optimizer.beta2, "of the same; for lion give 0.99", {.low = 0, .high = 0.9999999})
      .add("epsilon", &optimizer.epsilon, "of adam, adamw, rmsprop, lamb and adafactor", {.low = 0, .high = 1})
      .add("smoothing", &optimizer.smoothing, "of rmsprop's average of squares", {.low = 0, .high = 0.9999999})
      .add("weight-decay", &optimizer.weight_decay, "L2 for sgd, adam and rmsprop, else decoupled",
           {.low = 0, .high = 1e3})
      .add("parameter-groups", &parameter_groups,
           "parameters trained in their own way, by name: 'embed*:rate=0.1;*.bias:decay=0;features.*:frozen'")
      .add("ema", &ema, "decay of a running average of the weights, which validations judge; 0: none",
           {.low = 0, .high = 0.9999999})
      .add("clip", &clip, "largest global gradient norm; 0: no limit", {.low = 0, .high = 1e12})
      .add("max-skipped", &max_skipped, "end with code 13 after so many steps in a row that are not finite", {.low = 1})
      .add("skip-outlier-loss", &skip_outlier_loss,
           "pass over a step whose loss lies so many deviations above the last 128; 0: never", {.low = 0, .high = 1e6})
      .add("skip-outlier-norm", &skip_outlier_norm, "the same for the gradient norm", {.low = 0, .high = 1e6});
  declare_schedule(options.group("Optimizer"), *this);
}

OptimizerOptions TrainingOptions::optimizer_with_groups() const {
  OptimizerOptions out = optimizer;
  out.groups = parse_parameter_groups(parameter_groups);
  return out;
}

Schedule TrainingOptions::schedule_for(double steps_per_epoch) const {
  const auto steps = [&](double of_epochs) {
    return static_cast<std::int64_t>(std::llround(of_epochs * steps_per_epoch));
  };
  Schedule out{.kind = schedule,
               .rate = learning_rate,
               .warmup = steps(warmup_epochs),
               .total = steps(epochs),
               .floor = final_rate * learning_rate,
               .every = steps(step_epochs),
               .factor = step_factor,
               .power = schedule_power,
               .rise = cycle_rise};
  if (schedule == Schedule::Kind::step && out.every < 1)
    fail(ExitCode::usage,
         "--schedule step with --step-epochs {}: the rate would never fall; give the epochs between falls",
         step_epochs);
  if (max_steps > 0 && max_steps < out.total) out.total = max_steps;
  out.decay = static_cast<std::int64_t>(std::llround(decay_fraction * static_cast<double>(out.total)));
  return out;
}

}  // namespace trireme
