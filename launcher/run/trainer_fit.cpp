// What goes on around the steps of a training: progress, records, validation, things to look at.
#include <chrono>

#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "core/base/profile.hpp"
#include "launcher/run/peak_flops.hpp"
#include "launcher/run/trainer.hpp"

namespace trireme {
namespace {}  // namespace

/// What has to be remembered between two reports.
struct Trainer::Progress {
  double started = steady_seconds(), last_time = steady_seconds(), last_waited = 0, exposed = 0;
  std::int64_t last_step = 0;
};

void Trainer::show_images(const Batch& batch) {
  const std::int64_t number = counts_.steps + 1;
  if (hooks_.board && hooks_.board->details_due(number) && task_.shown_field() != nullptr)
    hooks_.board->images(number, batch.field(task_.shown_field()));
}

/// After flush() the plane holds the sums over all ranks until the next step writes into it.
void Trainer::show_gradients() {
  const std::int64_t number = counts_.steps + 1;
  if (!hooks_.board || !hooks_.board->details_due(number)) return;
  learn();
  hooks_.board->gradients(number, layout_, {.plane = planes_.grad, .scale = queued_->exact});
}

void Trainer::watch_profile() {
  if (options_.profile.empty()) return;
  const std::int64_t last = std::min<std::int64_t>(40, total_);
  if (counts_.steps == last / 2) profile::start();
  if (counts_.steps != last) return;
  profile::stop();
  const int rank = session_.world().rank();
  profile::write(rank == 0 ? options_.profile : fmt::format("{}.{}", options_.profile, rank), rank);
}

bool Trainer::report_due() const { return counts_.steps % options_.log_every == 0 || counts_.steps == total_; }

bool Trainer::validates_now(std::int64_t epoch_before) const {
  if (!data_.validation) return false;
  return counts_.steps == total_ ||
         (options_.validate_every > 0 ? counts_.steps % options_.validate_every == 0 : epoch() != epoch_before);
}

void Trainer::report(Progress& progress) {
  progress.exposed += parallel_->timing().exposed_seconds;
  if (!hooks_.metrics || !report_due()) return;
  const double time = steady_seconds(), waited = loader_->waited_seconds(), passed = time - progress.last_time;
  const auto done = static_cast<double>(counts_.steps - progress.last_step);
  StepRecord record{.step = counts_.steps,
                    .epoch = epoch(),
                    .loss = last_.loss,
                    .samples_per_second = done * static_cast<double>(options_.batch) / passed,
                    .learning_rate = last_.rate,
                    .gradient_norm = last_.gradient_norm,
                    .waiting_percent = 100 * (waited - progress.last_waited) / passed,
                    .communication_percent = 100 * progress.exposed / passed,
                    .elapsed_seconds = time - progress.started};
  const Task::Work work = task_.work();
  if (work.tokens > 0) record.tokens_per_second = record.samples_per_second * work.tokens;
  if (options_.precision.scales_loss()) record.loss_scale = state_.loss_scale;
  if (peak_flops_ > 0) record.utilisation = record.samples_per_second * work.flops / peak_flops_;
  hooks_.metrics->step(record);
  if (hooks_.board) hooks_.board->step(record);
  progress.last_time = time;
  progress.last_step = counts_.steps;
  progress.last_waited = waited;
  progress.exposed = 0;
}

/// Only to look at: what goes wrong here must not end a training.
void Trainer::show_sample() {
  if (!hooks_.metrics) return;
  context_.begin_eval();
  try {
    if (const std::string text = task_.sample(context_); !text.empty()) hooks_.metrics->line(text);
  } catch (const Error& error) {
    log::warning("no sample after step {}: {}", counts_.steps, error.what());
  }
}

void Trainer::validate(Progress& progress) {
  const double paused = steady_seconds();
  const std::optional<Task::Evaluation> found = evaluate_unless_stopped(data_.validation);
  if (!found) return;
  const Task::Evaluation& result = *found;
  counts_.validation_due = false;
  counts_.validation_loss = result.loss;
  counts_.validation_accuracy = result.accuracy;
  const ValidationRecord record{.step = counts_.steps,
                                .epoch = epoch(),
                                .loss = result.loss,
                                .accuracy = result.accuracy,
                                .perplexity = result.perplexity,
                                .absolute_error = result.absolute_error,
                                .squared_error = result.squared_error,
                                .elapsed_seconds = steady_seconds() - progress.started};
  if (hooks_.metrics) hooks_.metrics->validation(record);
  if (hooks_.board) hooks_.board->validation(record);
  show_sample();
  judge(result.loss);
  progress.last_time += steady_seconds() - paused;  // rates are those of training
}

void Trainer::fit(const Hooks& hooks) {
  hooks_ = hooks;
  if (task_.work().flops > 0)
    peak_flops_ = options_.peak_tflops > 0
                      ? options_.peak_tflops * 1e12
                      : parallel_->sum(std::vector{measured_peak_flops(context_, layout_.dtype())}).front();
  if (!data_.validation && (options_.plateau > 0 || options_.early_stop > 0))
    fail(ExitCode::usage,
         "--plateau {} and --early-stop {} follow the loss of validations, but there are no validation samples; hold "
         "some out by --validation 0.1",
         options_.plateau, options_.early_stop);
  Progress progress;
  progress.last_step = counts_.steps;
  const double elapsed_before = counts_.elapsed_seconds;
  if (data_.validation && counts_.validation_due) {  // a stop request cut it off
    validate(progress);
    if (counts_.validation_due && hooks_.after_step) hooks_.after_step(cut_off_);
  }
  while (counts_.steps < total_) {
    const std::int64_t epoch_before = epoch();
    const double started = steady_seconds();
    Wishes wishes = take_step();
    counts_.validation_due = validates_now(epoch_before);
    if (report_due() || counts_.validation_due || wishes.any()) settle();
    counts_.training_seconds += steady_seconds() - started;
    report(progress);
    if (counts_.validation_due) validate(progress);
    if (counts_.validation_due) wishes = cut_off_;
    // Last: a checkpoint of this step means that all its records are written.
    counts_.elapsed_seconds = elapsed_before + steady_seconds() - progress.started;
    if (hooks_.after_step) hooks_.after_step(wishes);
  }
  if (total_ <= 40) watch_profile();
  hooks_ = {};
}

}  // namespace trireme
