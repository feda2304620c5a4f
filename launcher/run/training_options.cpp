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
      .add("optimizer", &optimizer.kind, "sgd, adam or adamw",
           {{"sgd", Kind::sgd}, {"adam", Kind::adam}, {"adamw", Kind::adamw}})
      .add("learning-rate", &learning_rate, "the peak rate", {.low = 0, .high = 1e3})
      .add("schedule", &schedule, "how the rate changes: constant, cosine, step, or wsd (warm-up, stable, decay)",
           {{"constant", Schedule::Kind::constant},
            {"cosine", Schedule::Kind::cosine},
            {"step", Schedule::Kind::step},
            {"wsd", Schedule::Kind::wsd}})
      .add("warmup-epochs", &warmup_epochs, "linear rise at the start", {.low = 0, .high = 1e6})
      .add("final-rate", &final_rate, "last rate of cosine and wsd, as a fraction of the peak", {.low = 0, .high = 1})
      .add("decay-fraction", &decay_fraction, "share of all steps in which the rate of wsd falls",
           {.low = 0, .high = 1})
      .add("step-epochs", &step_epochs, "epochs between the falls of the step schedule", {.low = 0, .high = 1e6})
      .add("step-factor", &step_factor, "factor of each fall", {.low = 0, .high = 1})
      .add("momentum", &optimizer.momentum, "of sgd", {.low = 0, .high = 0.99999})
      .add("nesterov", &optimizer.nesterov, "momentum of sgd after Nesterov",
           {{"off", OptimizerOptions::Nesterov::off}, {"on", OptimizerOptions::Nesterov::on}})
      .add("beta1", &optimizer.beta1, "of adam and adamw", {.low = 0, .high = 0.99999})
      .add("beta2", &optimizer.beta2, "of adam and adamw", {.low = 0, .high = 0.9999999})
      .add("epsilon", &optimizer.epsilon, "of adam and adamw", {.low = 0, .high = 1})
      .add("weight-decay", &optimizer.weight_decay, "L2 for sgd and adam, decoupled for adamw", {.low = 0, .high = 1e3})
      .add("clip", &clip, "largest global gradient norm; 0: no limit", {.low = 0, .high = 1e12})
      .add("max-skipped", &max_skipped, "end with code 13 after so many steps in a row that are not finite", {.low = 1})
      .add("skip-outlier-loss", &skip_outlier_loss,
           "pass over a step whose loss lies so many deviations above the last 128; 0: never", {.low = 0, .high = 1e6})
      .add("skip-outlier-norm", &skip_outlier_norm, "the same for the gradient norm", {.low = 0, .high = 1e6});
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
               .factor = step_factor};
  if (schedule == Schedule::Kind::step && out.every < 1)
    fail(ExitCode::usage,
         "--schedule step with --step-epochs {}: the rate would never fall; give the epochs between falls",
         step_epochs);
  if (max_steps > 0 && max_steps < out.total) out.total = max_steps;
  out.decay = static_cast<std::int64_t>(std::llround(decay_fraction * static_cast<double>(out.total)));
  return out;
}

}  // namespace trireme
