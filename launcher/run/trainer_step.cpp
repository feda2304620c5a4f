// One training step, from its micro-batches to the queued update, and what the host learns of it.
#include <algorithm>

#include "core/base/log.hpp"
#include "core/base/profile.hpp"
#include "launcher/run/trainer.hpp"

namespace trireme {
namespace {

/// Elements of `plane` whose norm part `part` adds up: the parts cover the plane once.
Tensor share(const Tensor& plane, int part, int parts) {
  const std::int64_t n = plane.elements(), first = n * part / parts;
  return plane.slice(first, n * (part + 1) / parts - first);
}

/// Which recording a micro-batch is: a first one overwrites gradients, the others add to them.
int kind_of(std::int64_t number, std::int64_t count) { return (number == 0 ? 1 : 0) + (number + 1 == count ? 2 : 0); }

}  // namespace

Task::Loss Trainer::forward(const Batch& batch, const PassOf& pass) {
  const ProfileSpan span("forward", ProfileSpan::Kind::phase);
  session_.world().log().set_phase("forward");
  const std::int64_t all_rows = options_.batch / options_.accumulate;
  context_.begin_training({.tape = &pass.tape,
                           .state = &pass.state,
                           .peers = &pass.peers,
                           .first_sample = static_cast<std::int64_t>(batch.first_row_position()),
                           .global_rows = pass.peers.parts() == 1 ? batch.rows() : all_rows,
                           .device_state = pass.device_state});
  return task_.loss(context_, batch);
}

void Trainer::run_micro_batch(const Batch& batch) {
  const Task::Loss loss = forward(batch, {*tape_, *session_.data(), state_, control_->state()});
  if (graphs_ && graphs_->recording() && context_.layers_numbered() > 0)
    fail(ExitCode::failure, "the network draws random numbers, which depend on the position of the batch");
  control_->add(session_.stream(), loss.sum.tensor(), loss.targets);
  const ProfileSpan span("backward", ProfileSpan::Kind::phase);
  session_.world().log().set_phase("backward");
  tape_->backward(context_, loss.sum, 1.0 / static_cast<double>(options_.batch));
  tape_->clear();
}

/// Recordings do not send: where other ranks wait for gradients, those leave while the last backward pass runs.
void Trainer::micro_batch(const Batch& batch, std::int64_t number) {
  const bool last = number + 1 == options_.accumulate;
  if (!graphs_ || (last && parallel_->communicator().size() > 1)) {
    if (last) parallel_->send();
    return run_micro_batch(batch);
  }
  const bool open = graphs_->refusal().empty();
  graphs_->run(kind_of(number, options_.accumulate),
               {.input = fmt::format("{} rows at {}", batch.rows(), fmt::ptr(batch.weight().raw())),
                .run = [&] { run_micro_batch(batch); },
                .state = [&] { return parallel_->written(); },
                .set_state =
                    [&](const std::vector<char>& written) {
                      tape_->clear();
                      parallel_->set_written(written);
                    }});
  if (open && !graphs_->refusal().empty() && session_.leads())
    log::info("no CUDA graph is used: {}", graphs_->refusal());
}

void Trainer::micro_batches() {
  if (!loader_) {
    loader_ = open_loader(counts_.samples, options_.loader_threads);
    if (graphs_) graphs_->forget();  // its batches lie elsewhere
  }
  parallel_->begin();
  for (std::int64_t k = 0; k < options_.accumulate; ++k) {
    session_.world().log().set_phase("data");
    const Batch batch = loader_->next();
    if (k == 0) show_images(batch);
    micro_batch(batch, k);
  }
  const ProfileSpan span("flush", ProfileSpan::Kind::communication);
  session_.world().log().set_phase("flush");
  parallel_->flush();
}

/// The ranks' wishes, on their way.
struct Trainer::Votes {
  Tensor numbers;
  Event agreed = {};
  Wishes count() const {
    agreed.wait();
    const auto of_all = numbers.span<double>();
    return {of_all[0], of_all[1], of_all[2]};
  }
};

/// The wishes travel in the step's message where the host may write it at this moment, else in one of their own beside
/// it.
Trainer::Votes Trainer::send_message() {
  const Wishes wishes = hooks_.wishes ? hooks_.wishes(counts_.steps + 1) : Wishes{};
  const Tensor& message = control_->message();
  const bool apart = ahead_ || session_.device().is_cuda();
  Votes votes{.numbers = apart ? Tensor::empty({Wishes::count}, DType::f64)
                               : message.slice(StepMessage::count, Wishes::count)};
  std::ranges::copy(std::initializer_list<double>{wishes.save, wishes.stop, wishes.time},
                    votes.numbers.span<double>().begin());
  if (apart) votes.agreed = parallel_->communicator().all_reduce(votes.numbers);
  parallel_->sum(message);
  return votes;
}

/// Queues a whole step; returns once all ranks' wishes are known.
Wishes Trainer::take_step() {
  watch_profile();
  session_.world().log().set_step(counts_.steps + 1);
  const ProfileSpan span("step", ProfileSpan::Kind::phase);
  const Stream& stream = session_.stream();
  state_.step = counts_.steps;
  state_.rate = schedule_.at(counts_.steps) * counts_.plateau.scale;
  state_.loss_scale = counts_.loss_scale.value;
  control_->begin(stream, state_);
  micro_batches();
  // After flush() every rank holds the whole sum, so each adds the norm of its share of the plane.
  Communicator& ranks = parallel_->communicator();
  control_->add_norm(stream, share(planes_.grad, ranks.rank(), ranks.size()));
  const Votes votes = send_message();
  settle();  // the step before: should its cause be looked for, the weights must not have changed yet
  control_->decide(stream);
  queued_ = Queued{.number = counts_.steps + 1, .samples = counts_.samples, .step = {.rate = state_.rate}};
  // Whether a step stands out is known only from the losses before it.
  if (!ahead_ || options_.skip_outlier_loss > 0 || options_.skip_outlier_norm > 0) {
    learn();
    if (!queued_->step.outlier.empty()) control_->skip(stream);
  }
  show_gradients();
  session_.world().log().set_phase("optimizer");
  optimizer_->step(stream, control_->state());
  ++counts_.steps;
  counts_.samples += options_.batch;
  if (average_) average_->step(stream, control_->state());
  if (!ahead_) settle();
  return votes.count();
}

/// What the device decided; waits for it.
void Trainer::learn() {
  if (queued_->known) return;
  const StepOutcome outcome = control_->outcome();
  Step& step = queued_->step;
  step.loss = outcome.loss;
  step.gradient_norm = outcome.gradient_norm;
  step.skipped = outcome.skip != 0;
  if (!step.skipped) step.outlier = outlier_of(step);
  step.skipped = step.skipped || !step.outlier.empty();
  queued_->exact = outcome.exact;
  queued_->broken = outcome.broken;
  step.overflowed = overflowed(*queued_);
  queued_->known = true;
}

/// Counts the step that was queued last, and ends the job where too many could not be used. Ranks may look for a cause
/// together here, so all must call it at the same point.
void Trainer::settle() {
  if (!queued_) return;
  learn();
  const Queued done = *queued_;
  queued_.reset();
  if (!done.step.skipped && options_.precision.scales_loss())
    counts_.loss_scale = options_.precision.loss_scaling.after_use(counts_.loss_scale);
  done.step.overflowed ? count_overflow(done) : count_skip(done);
  last_ = done.step;
}

Trainer::Step Trainer::step() {
  take_step();
  settle();
  return last_;
}

}  // namespace trireme
