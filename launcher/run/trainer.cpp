#include "launcher/run/trainer.hpp"

#include <chrono>
#include <cmath>

#include "comm/agreement.hpp"
#include "core/base/profile.hpp"

namespace trireme {
namespace {

constexpr std::int64_t give_up_after = 10;

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
  check_data(data.train);
  if (data.validation) check_data(*data.validation);
  layout_ = plan_arena(task.module(), {.dtype = options.precision, .shards = 1},
                       [&](Context& context) { task.plan(context, micro, options.precision); });
  const auto bytes = static_cast<std::size_t>(layout_.trained_elements()) * size_of(options.precision);
  planes_ = allocate_planes(layout_, session.device(), *ranks->shared_allocator(bytes));
  materialize(task.module(), layout_, planes_, static_cast<std::uint64_t>(options.seed));
  const auto bucket = static_cast<std::size_t>(options.bucket_mib * 1048576);
  const std::shared_ptr<Communicator> reducer = options.communicate ? ranks : ranks->split(ranks->rank(), 0, "alone");
  parallel_ = std::make_unique<DataParallel>(reducer, layout_, planes_.grad,
                                             BucketOptions{.bytes = bucket, .first_bytes = bucket / 4});
  optimizer_ = std::make_unique<Optimizer>(options.optimizer, layout_, planes_);
  tape_ = std::make_unique<Tape>(*parallel_);
  loader_ = std::make_unique<Loader>(data.train,
                                     LoaderOptions{.batch = micro,
                                                   .part = ranks->rank(),
                                                   .parts = ranks->size(),
                                                   .seed = static_cast<std::uint64_t>(options.seed),
                                                   .threads = static_cast<int>(options.loader_threads),
                                                   .transforms = task.transforms(options.precision, Mode::train)});
  const double per_epoch = static_cast<double>(data.train.count()) / static_cast<double>(options.batch);
  schedule_ = options.schedule_for(per_epoch);
  total_ = static_cast<std::int64_t>(std::ceil(options.epochs * per_epoch));
  if (options.max_steps > 0) total_ = std::min(total_, options.max_steps);
  state_.random_seed = static_cast<std::uint64_t>(options.seed);
}

Trainer::~Trainer() = default;

void Trainer::check_data(const SubsetView& view) const {
  const std::string name = fmt::format("data of split {}", view.split().name());
  check_agreement(session_.world(), {{name, fmt::format("{}, {} samples", view.split().fingerprint(), view.count())}});
}

Trainer::Sums Trainer::micro_batches() {
  Sums sums;
  parallel_->begin();
  for (std::int64_t k = 0; k < options_.accumulate; ++k) {
    const Batch batch = loader_->next();
    if (k + 1 == options_.accumulate) parallel_->send();
    context_.begin_training({.tape = tape_.get(),
                             .state = &state_,
                             .peers = session_.data().get(),
                             .first_sample = static_cast<std::int64_t>(batch.first_row_position()),
                             .global_rows = options_.batch / options_.accumulate});
    Task::Loss loss;
    {
      const ProfileSpan span("forward", ProfileSpan::Kind::phase);
      session_.world().log().set_phase("forward");
      loss = task_.loss(context_, batch);
    }
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
  const double mine[] = {norm.squared, sums.targets, sums.loss, norm.finite && std::isfinite(sums.loss) ? 0.0 : 1.0};
  const std::vector<double> all = parallel_->sum(mine);
  const double exact = static_cast<double>(options_.batch) / all[1];
  // Without a target there is nothing to learn from: the step is skipped like one that is not finite.
  Step step{.loss = all[2] / all[1],
            .gradient_norm = std::sqrt(all[0]) * exact,
            .rate = state_.rate,
            .skipped = all[3] > 0 || !(all[1] > 0)};
  state_.skip = step.skipped ? 1 : 0;
  const double clip = options_.clip > 0 && step.gradient_norm > options_.clip ? options_.clip / step.gradient_norm : 1;
  state_.gradient_scale = clip * exact;
  if (!step.skipped) optimizer_->step(session_.stream(), &state_);
  skipped_in_a_row_ = step.skipped ? skipped_in_a_row_ + 1 : 0;
  if (skipped_in_a_row_ >= give_up_after)
    fail(ExitCode::numeric,
         "the loss or a gradient was not finite in {} steps in a row, up to step {}; lower "
         "--learning-rate, or set --clip",
         give_up_after, steps_);
  ++steps_;
  return step;
}

Trainer::Step Trainer::step() {
  watch_profile();
  state_.step = steps_;
  state_.rate = schedule_.at(steps_);
  const ProfileSpan span("step", ProfileSpan::Kind::phase);
  return finish(micro_batches());
}

void Trainer::watch_profile() {
  if (options_.profile.empty()) return;
  const std::int64_t last = std::min<std::int64_t>(40, total_);
  if (steps_ == last / 2) profile::start();
  if (steps_ != last) return;
  profile::stop();
  const int rank = session_.world().rank();
  profile::write(rank == 0 ? options_.profile : fmt::format("{}.{}", options_.profile, rank), rank);
}

void Trainer::report(MetricsWriter* metrics, const Step& step, Progress& progress) {
  progress.exposed += parallel_->timing().exposed_seconds;
  if (step.skipped && metrics) metrics->line(fmt::format("step {}: not finite, skipped", steps_));
  if (!metrics || (steps_ % options_.log_every != 0 && steps_ != total_)) return;
  const double time = now(), waited = loader_->waited_seconds(), passed = time - progress.last_time;
  const auto done = static_cast<double>(steps_ - progress.last_step);
  metrics->step({.step = steps_,
                 .epoch = steps_ * options_.batch / data_.train.count(),
                 .loss = step.loss,
                 .samples_per_second = done * static_cast<double>(options_.batch) / passed,
                 .learning_rate = step.rate,
                 .gradient_norm = step.gradient_norm,
                 .waiting_percent = 100 * (waited - progress.last_waited) / passed,
                 .communication_percent = 100 * progress.exposed / passed,
                 .elapsed_seconds = time - progress.started});
  progress.last_time = time;
  progress.last_step = steps_;
  progress.last_waited = waited;
  progress.exposed = 0;
}

std::optional<Task::Evaluation> Trainer::fit(MetricsWriter* metrics) {
  std::optional<Task::Evaluation> last;
  Progress progress;
  const auto epoch_of = [&](std::int64_t steps) { return steps * options_.batch / data_.train.count(); };
  while (steps_ < total_) {
    const double started = now();
    const Step done = step();
    training_seconds_ += now() - started;
    report(metrics, done, progress);
    const bool epoch_ended = epoch_of(steps_) != epoch_of(steps_ - 1);
    if (!data_.validation || (!epoch_ended && steps_ < total_)) continue;
    const double paused = now();
    last = evaluate(*data_.validation);
    if (metrics)
      metrics->validation({.step = steps_,
                           .epoch = epoch_of(steps_),
                           .loss = last->loss,
                           .accuracy = last->accuracy,
                           .elapsed_seconds = now() - progress.started});
    progress.last_time += now() - paused;  // rates are those of training
  }
  if (total_ <= 40) watch_profile();
  return last;
}

Task::Evaluation Trainer::evaluate(const SubsetView& view) {
  check_data(view);
  const auto& ranks = session_.data();
  session_.world().log().set_phase("evaluation");
  context_.begin_eval();
  Loader loader(view, {.batch = std::max<std::int64_t>(options_.batch, 256),
                       .part = ranks->rank(),
                       .parts = ranks->size(),
                       .pass = Pass::evaluate,
                       .threads = static_cast<int>(options_.loader_threads),
                       .transforms = task_.transforms(options_.precision, Mode::eval)});
  std::vector<double> sums;
  while (!loader.finished()) {
    const std::vector<double> of_batch = task_.evaluate(context_, loader.next());
    sums.resize(of_batch.size(), 0.0);
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += of_batch[k];
  }
  return task_.interpret(ranks->all_reduce_values(sums));
}

}  // namespace trireme
