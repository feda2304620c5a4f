#include "launcher/run/trainer.hpp"

#include <chrono>
#include <cmath>

#include "comm/agreement.hpp"
#include "core/base/log.hpp"
#include "core/base/profile.hpp"
#include "launcher/run/peak_flops.hpp"

namespace trireme {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Elements of `plane` whose norm part `part` adds up: the parts cover the plane once.
Tensor share(const Tensor& plane, int part, int parts) {
  const std::int64_t n = plane.elements(), first = n * part / parts;
  return plane.slice(first, n * (part + 1) / parts - first);
}

}  // namespace

/// What a step's backward passes left on this rank.
struct Trainer::Sums {
  double loss = 0, targets = 0;
};

/// What has to be remembered between two reports.
struct Trainer::Progress {
  double started = now(), last_time = now(), last_waited = 0, exposed = 0;
  std::int64_t last_step = 0;
};

Trainer::Trainer(Session& session, Task& task, const TrainingData& data, const TrainingOptions& options)
    : session_(session),
      task_(task),
      data_(data),
      options_(options),
      memory_(session.device()),
      context_(session.stream(), memory_) {
  const auto& ranks = session.data();
  const std::int64_t micro = options.batch / options.accumulate;
  if (options.batch % options.accumulate != 0 || micro < ranks->size())
    fail(ExitCode::usage,
         "--batch {} in {} micro-batch(es) for {} rank(s): each micro-batch needs a whole number of "
         "samples, at least one per rank; use a batch that is a multiple of {} and at least {}",
         options.batch, options.accumulate, ranks->size(), options.accumulate, options.accumulate * ranks->size());
  check_data(*data.train);
  if (data.validation) check_data(*data.validation);
  const PrecisionOptions& precision = options.precision;
  const bool fixed = options.weights == TrainingOptions::Weights::fixed;
  layout_ = plan_arena(task.module(),
                       {.dtype = precision.dtype(),
                        .gradient_dtype = precision.gradient_dtype(),
                        .freeze = [fixed](const std::string&) { return fixed; }},
                       [&](Context& context) { task.plan(context, micro, precision.dtype()); });
  if (precision.precision == Precision::tf32) use_tf32();
  if (precision.scales_loss()) counts_.loss_scale = precision.loss_scaling.begin();
  const auto bytes = static_cast<std::size_t>(layout_.trained_elements()) * size_of(layout_.gradient_dtype());
  planes_ = allocate_planes(layout_, session.device(), *ranks->shared_allocator(bytes));
  materialize(task.module(), layout_, planes_, static_cast<std::uint64_t>(options.seed));
  const auto bucket = static_cast<std::size_t>(options.bucket_mib * 1048576);
  const std::shared_ptr<Communicator> reducer = options.communicate ? ranks : ranks->split(ranks->rank(), 0, "alone");
  parallel_ = std::make_unique<DataParallel>(reducer, layout_, planes_.grad,
                                             BucketOptions{.bytes = bucket, .first_bytes = bucket / 4});
  optimizer_ = std::make_unique<Optimizer>(options.optimizer, layout_, planes_);
  tape_ = std::make_unique<Tape>(*parallel_);
  state_.random_seed = static_cast<std::uint64_t>(options.seed);
  plan_steps();
}

void Trainer::use_tf32() {
  context_.set_product_math(ProductMath::tf32);
  if (!context_.device().is_cuda() && session_.leads())
    log::info("--precision tf32: a CPU has no such products; they are computed in f32");
}

void Trainer::plan_steps() {
  const auto batch = static_cast<double>(options_.batch), count = static_cast<double>(data_.train->count());
  schedule_ = options_.schedule_for(count / batch);
  // Counted in samples, so that a run resumed with another batch ends at the same one.
  const double left = options_.epochs * count - static_cast<double>(counts_.samples);
  total_ = counts_.steps + std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(left / batch)));
  if (options_.max_steps > 0) total_ = std::min(total_, std::max(options_.max_steps, counts_.steps));
}

std::unique_ptr<Loader> Trainer::open_loader(std::int64_t position, std::int64_t threads) const {
  const auto& ranks = session_.data();
  return std::make_unique<Loader>(data_.train,
                                  LoaderOptions{.batch = options_.batch / options_.accumulate,
                                                .part = ranks->rank(),
                                                .parts = ranks->size(),
                                                .seed = static_cast<std::uint64_t>(options_.seed),
                                                .order = options_.order,
                                                .blocks = {.samples = options_.shuffle_block},
                                                .threads = static_cast<int>(threads),
                                                .start = static_cast<std::uint64_t>(position),
                                                .transforms = task_.transforms(layout_.dtype(), Mode::train)});
}

void Trainer::restore(const TrainerState& state) {
  counts_ = state;
  loader_.reset();
  plan_steps();
  parameters_changed();
}

void Trainer::parameters_changed() {
  round_masters(session_.stream(), planes_);
  optimizer_->count_version();
}

std::vector<NamedTensor> Trainer::tensors() const {
  std::vector<NamedTensor> out;
  const auto& entries = layout_.entries();
  const auto add = [&](const std::string& plane, const ArenaEntry& entry, const Tensor& from) {
    out.push_back({plane, entry.name, entry.parameter->shape(), from.slice(entry.offset, entry.count)});
  };
  for (const ArenaEntry& entry : entries) add("param", entry, planes_.values());
  for (const NamedPlane& moment : optimizer_->state_planes())
    for (std::size_t k = 0; k < layout_.trained(); ++k) add(moment.name, entries[k], moment.plane);
  for (const NamedState& named : states_of(task_.module()))
    out.push_back({"state", named.name, named.state->shape(), named.state->value()});
  return out;
}

Trainer::~Trainer() = default;

void Trainer::check_data(const SampleSource& samples) const {
  const std::string name = fmt::format("data of split {}", samples.name());
  check_agreement(session_.world(), {{name, fmt::format("{}, {} samples", samples.fingerprint(), samples.count())}});
}

Task::Loss Trainer::forward(const Batch& batch, Tape& tape, Peers& peers) {
  const ProfileSpan span("forward", ProfileSpan::Kind::phase);
  session_.world().log().set_phase("forward");
  context_.begin_training({.tape = &tape,
                           .state = &state_,
                           .peers = &peers,
                           .first_sample = static_cast<std::int64_t>(batch.first_row_position()),
                           .global_rows = peers.parts() == 1 ? batch.rows() : options_.batch / options_.accumulate});
  return task_.loss(context_, batch);
}

Trainer::Sums Trainer::micro_batches() {
  Sums sums;
  if (!loader_) loader_ = open_loader(counts_.samples, options_.loader_threads);
  parallel_->begin();
  for (std::int64_t k = 0; k < options_.accumulate; ++k) {
    const Batch batch = loader_->next();
    if (k + 1 == options_.accumulate) parallel_->send();
    if (k == 0) show_images(batch);
    const Task::Loss loss = forward(batch, *tape_, *session_.data());
    sums.loss += loss.sum.tensor().item();
    sums.targets += loss.targets;
    const ProfileSpan span("backward", ProfileSpan::Kind::phase);
    session_.world().log().set_phase("backward");
    tape_->backward(context_, loss.sum, 1.0 / static_cast<double>(options_.batch));
    tape_->clear();
  }
  const ProfileSpan span("flush", ProfileSpan::Kind::communication);
  session_.world().log().set_phase("flush");
  parallel_->flush();
  return sums;
}

Trainer::Step Trainer::finish(const Sums& sums) {
  // After flush() every rank holds the whole sum, so each adds the norm of its share of the plane.
  Communicator& ranks = parallel_->communicator();
  const PlaneNorm norm = plane_norm(session_.stream(), share(planes_.grad, ranks.rank(), ranks.size()));
  const Wishes wishes = hooks_.wishes ? hooks_.wishes(counts_.steps + 1) : Wishes{};
  const double broken = norm.finite && std::isfinite(sums.loss) ? 0.0 : 1.0;
  const double mine[] = {norm.squared, sums.targets, sums.loss, broken, wishes.save, wishes.stop, wishes.time};
  const std::vector<double> all = parallel_->sum(mine);
  const double exact = static_cast<double>(options_.batch) / all[1] / state_.loss_scale;
  // Without a target there is nothing to learn from: the step is skipped like one that is not finite.
  const double step_loss = all[2] / all[1];
  Step step{.loss = step_loss,
            .gradient_norm = std::sqrt(all[0]) * exact,
            .rate = state_.rate,
            .skipped = all[3] > 0 || !(all[1] > 0),
            .overflowed = overflowed(all[3], step_loss),
            .wishes = {all[4], all[5], all[6]}};
  if (!step.skipped) step.outlier = outlier_of(step);
  step.skipped = step.skipped || !step.outlier.empty();
  state_.skip = step.skipped ? 1 : 0;
  const double clip = options_.clip > 0 && step.gradient_norm > options_.clip ? options_.clip / step.gradient_norm : 1;
  state_.gradient_scale = clip * exact;
  show_gradients(exact);
  if (!step.skipped) optimizer_->step(session_.stream(), &state_);
  if (!step.skipped && options_.precision.scales_loss())
    counts_.loss_scale = options_.precision.loss_scaling.after_use(counts_.loss_scale);
  step.overflowed ? count_overflow() : count_skip(step, all[3]);
  ++counts_.steps;
  counts_.samples += options_.batch;
  return step;
}

void Trainer::show_images(const Batch& batch) {
  const std::int64_t number = counts_.steps + 1;
  if (hooks_.board && hooks_.board->details_due(number) && task_.shown_field() != nullptr)
    hooks_.board->images(number, batch.field(task_.shown_field()));
}

/// After flush() the plane holds the sums over all ranks until the next step writes into it.
void Trainer::show_gradients(double scale) {
  const std::int64_t number = counts_.steps + 1;
  if (hooks_.board && hooks_.board->details_due(number))
    hooks_.board->gradients(number, layout_, {.plane = planes_.grad, .scale = scale});
}

Trainer::Step Trainer::step() {
  watch_profile();
  state_.step = counts_.steps;
  state_.rate = schedule_.at(counts_.steps);
  state_.loss_scale = counts_.loss_scale.value;
  const ProfileSpan span("step", ProfileSpan::Kind::phase);
  return finish(micro_batches());
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

void Trainer::report(const Step& step, Progress& progress) {
  progress.exposed += parallel_->timing().exposed_seconds;
  if (!hooks_.metrics || (counts_.steps % options_.log_every != 0 && counts_.steps != total_)) return;
  const double time = now(), waited = loader_->waited_seconds(), passed = time - progress.last_time;
  const auto done = static_cast<double>(counts_.steps - progress.last_step);
  StepRecord record{.step = counts_.steps,
                    .epoch = epoch(),
                    .loss = step.loss,
                    .samples_per_second = done * static_cast<double>(options_.batch) / passed,
                    .learning_rate = step.rate,
                    .gradient_norm = step.gradient_norm,
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
  const double paused = now();
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
                                .elapsed_seconds = now() - progress.started};
  if (hooks_.metrics) hooks_.metrics->validation(record);
  if (hooks_.board) hooks_.board->validation(record);
  show_sample();
  progress.last_time += now() - paused;  // rates are those of training
}

void Trainer::fit(const Hooks& hooks) {
  hooks_ = hooks;
  if (task_.work().flops > 0)
    peak_flops_ = options_.peak_tflops > 0 ? options_.peak_tflops * 1e12
                                           : parallel_->sum(std::vector{measured_peak_flops(context_)}).front();
  Progress progress;
  progress.last_step = counts_.steps;
  const double elapsed_before = counts_.elapsed_seconds;
  if (data_.validation && counts_.validation_due) {  // a stop request cut it off
    validate(progress);
    if (counts_.validation_due && hooks_.after_step) hooks_.after_step({.wishes = cut_off_});
  }
  while (counts_.steps < total_) {
    const std::int64_t epoch_before = epoch();
    const double started = now();
    Step done = step();
    counts_.training_seconds += now() - started;
    report(done, progress);
    const bool due =
        options_.validate_every > 0 ? counts_.steps % options_.validate_every == 0 : epoch() != epoch_before;
    counts_.validation_due = data_.validation && (due || counts_.steps == total_);
    if (counts_.validation_due) validate(progress);
    if (counts_.validation_due) done.wishes = cut_off_;
    // Last: a checkpoint of this step means that all its records are written.
    counts_.elapsed_seconds = elapsed_before + now() - progress.started;
    if (hooks_.after_step) hooks_.after_step(done);
  }
  if (total_ <= 40) watch_profile();
  hooks_ = {};
}

Task::Evaluation Trainer::evaluate(const Samples& samples) { return evaluate_unless_stopped(samples).value(); }

/// Looks at wishes only inside fit(), after which there is nothing left to lose.
bool Trainer::leaving() {
  if (!hooks_.wishes_to_leave) return false;
  const Wishes mine = hooks_.wishes_to_leave();
  const std::vector<double> all = session_.data()->all_reduce_values(std::vector{mine.stop, mine.time});
  cut_off_ = {.stop = all[0], .time = all[1]};
  return all[0] > 0 || all[1] > 0;
}

std::optional<Task::Evaluation> Trainer::evaluate_unless_stopped(const Samples& samples) {
  check_data(*samples);
  const auto& ranks = session_.data();
  session_.world().log().set_phase("evaluation");
  context_.begin_eval();
  Loader loader(samples, {.batch = task_.evaluation_batch(options_.batch / options_.accumulate),
                          .part = ranks->rank(),
                          .parts = ranks->size(),
                          .pass = Pass::evaluate,
                          .threads = static_cast<int>(options_.loader_threads),
                          .transforms = task_.transforms(layout_.dtype(), Mode::eval)});
  std::vector<double> sums;
  for (std::int64_t batch = 1; !loader.finished(); ++batch) {
    if (batch % 16 == 0 && leaving()) return std::nullopt;
    const std::vector<double> of_batch = task_.evaluate(context_, loader.next());
    sums.resize(of_batch.size(), 0.0);
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += of_batch[k];
  }
  return task_.interpret(ranks->all_reduce_values(sums));
}

Task::Evaluation Trainer::evaluate_held_out() {
  if (!data_.validation) fail(ExitCode::usage, "there are no validation samples; hold some out by --validation 0.1");
  return evaluate(data_.validation);
}

}  // namespace trireme
