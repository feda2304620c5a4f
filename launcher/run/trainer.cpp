#include "launcher/run/trainer.hpp"

#include <cmath>

#include "comm/agreement.hpp"
#include "core/base/log.hpp"

namespace trireme {

namespace {

/// Memory that ranks can add up best; that of a host's window is no use for gradients on a GPU.
std::shared_ptr<Allocator> gradient_memory(Communicator& ranks, Device device, std::size_t bytes) {
  if (ranks.moves(device)) {
    std::shared_ptr<Allocator> best = ranks.shared_allocator(bytes);
    if (best->device() == device) return best;
  }
  return {std::shared_ptr<void>{}, &system_allocator(device)};
}

}  // namespace

Trainer::Trainer(Session& session, Task& task, const TrainingData& data, const TrainingOptions& options)
    : session_(session),
      task_(task),
      data_(data),
      options_(options),
      memory_(session.device()),
      context_(session.stream(), memory_),
      // The scale of the next loss depends on whether this one's gradients overflowed.
      ahead_(!options.precision.scales_loss() &&
             (options.run_ahead == RunAhead::on ||
              (options.run_ahead == RunAhead::automatic && session.device().is_cuda()))) {
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
  layout_ = plan(micro);
  if (precision.precision == Precision::tf32) use_tf32();
  if (precision.scales_loss()) counts_.loss_scale = precision.loss_scaling.begin();
  const auto bytes = static_cast<std::size_t>(layout_.trained_elements()) * size_of(layout_.gradient_dtype());
  planes_ = allocate_planes(layout_, session.device(), *gradient_memory(*ranks, session.device(), bytes));
  materialize(task.module(), layout_, planes_, static_cast<std::uint64_t>(options.seed));
  const auto bucket = static_cast<std::size_t>(options.bucket_mib * 1048576);
  const std::shared_ptr<Communicator> reducer = options.communicate ? ranks : ranks->split(ranks->rank(), 0, "alone");
  parallel_ = std::make_unique<DataParallel>(reducer, layout_, planes_.grad,
                                             BucketOptions{.bytes = bucket, .first_bytes = bucket / 4});
  optimizer_ = std::make_unique<Optimizer>(options.optimizer_with_groups(), layout_, planes_);
  if (options.ema > 0 && layout_.trained() > 0) average_ = std::make_unique<WeightAverage>(options.ema, planes_);
  tape_ = std::make_unique<Tape>(*parallel_);
  state_.random_seed = static_cast<std::uint64_t>(options.seed);
  control_ = std::make_unique<StepControl>(
      session.device(),
      StepControlOptions{.nominal = static_cast<double>(options.batch), .clip = options.clip, .extra = Wishes::count});
  control_->set(state_);
  if (session.device().is_cuda() && options.cuda_graph == CudaGraphs::automatic)
    graphs_ = std::make_unique<StepGraphs>(make_recorder(session.stream()));
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
  if (counts_.stopped_early && options_.early_stop > 0) total_ = counts_.steps;
}

/// Batches for a CPU are used where the loader makes them.
const Stream* Trainer::batch_stream() const {
  return ahead_ || session_.device().is_cuda() ? &session_.stream() : nullptr;
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
                                                .transforms = task_.transforms(layout_.dtype(), Mode::train),
                                                .mixing = task_.mixing(),
                                                .stream = batch_stream()});
}

void Trainer::restore(const TrainerState& state) {
  counts_ = state;
  control_->set(state_);
  queued_.reset();
  loader_.reset();
  plan_steps();
  weights_changed();
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
  if (average_)
    for (const ArenaEntry& entry : entries) add("average", entry, average_->plane());
  for (const NamedState& named : states_of(task_.module()))
    out.push_back({"state", named.name, named.state->shape(), named.state->value()});
  return out;
}

Trainer::~Trainer() = default;

void Trainer::check_data(const SampleSource& samples) const {
  const std::string name = fmt::format("data of split {}", samples.name());
  check_agreement(session_.world(), {{name, fmt::format("{}, {} samples", samples.fingerprint(), samples.count())}});
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

Task::Evaluation Trainer::evaluate_held_out() {
  if (!data_.validation) fail(ExitCode::usage, "there are no validation samples; hold some out by --validation 0.1");
  return evaluate(data_.validation);
}

}  // namespace trireme
