// Which weights a trainer trains and which it judges: groups of parameters, their running average, and what follows
// from the loss of validations. All ranks see the same loss, so all decide alike.
#include "core/base/log.hpp"
#include "core/optim/parameter_groups.hpp"
#include "launcher/run/trainer.hpp"

namespace trireme {

ArenaLayout Trainer::plan(std::int64_t rows) const {
  const PrecisionOptions& precision = options_.precision;
  const std::vector<ParameterGroup> groups = parse_parameter_groups(options_.parameter_groups);
  const bool fixed = options_.weights == TrainingOptions::Weights::fixed;
  const auto freeze = [&](const std::string& name) {
    const ParameterGroup* const group = group_of(groups, name);
    return fixed || (group != nullptr && group->training == ParameterGroup::Training::frozen);
  };
  ArenaLayout layout = plan_arena(
      task_.module(), {.dtype = precision.dtype(), .gradient_dtype = precision.gradient_dtype(), .freeze = freeze},
      [&](Context& context) { task_.plan(context, rows, precision.dtype()); });
  std::vector<std::string> names;
  for (const ArenaEntry& entry : layout.entries()) names.push_back(entry.name);
  require_matched(groups, names);
  if (layout.trained() == 0 && !fixed)
    fail(ExitCode::usage, "--parameter-groups {} freezes every parameter: there is nothing to train",
         options_.parameter_groups);
  return layout;
}

void Trainer::weights_changed() {
  round_masters(session_.stream(), planes_);
  optimizer_->count_version();
}

void Trainer::parameters_changed() {
  weights_changed();
  if (average_) average_->restart(session_.stream());
}

/// While it lives the network computes with the average of its weights.
class Trainer::Averaged {
 public:
  explicit Averaged(Trainer& trainer) : trainer_(trainer) { exchange(); }
  ~Averaged() { exchange(); }
  Averaged(const Averaged&) = delete;
  Averaged& operator=(const Averaged&) = delete;

 private:
  void exchange() {
    if (!trainer_.average_) return;
    trainer_.average_->exchange(trainer_.session_.stream());
    trainer_.weights_changed();
  }
  Trainer& trainer_;
};

std::optional<Task::Evaluation> Trainer::evaluate_unless_stopped(const Samples& samples) {
  check_data(*samples);
  const auto& ranks = session_.data();
  session_.world().log().set_phase("evaluation");
  const Averaged judged(*this);
  context_.begin_eval();
  Loader loader(samples, {.batch = task_.evaluation_batch(options_.batch / options_.accumulate),
                          .part = ranks->rank(),
                          .parts = ranks->size(),
                          .pass = Pass::evaluate,
                          .threads = static_cast<int>(options_.loader_threads),
                          .transforms = task_.transforms(layout_.dtype(), Mode::eval),
                          .stream = batch_stream()});
  std::vector<double> sums;
  for (std::int64_t batch = 1; !loader.finished(); ++batch) {
    if (batch % 16 == 0 && leaving()) return std::nullopt;
    const std::vector<double> of_batch = task_.evaluate(context_, loader.next());
    sums.resize(of_batch.size(), 0.0);
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += of_batch[k];
  }
  return task_.interpret(ranks->all_reduce_values(sums));
}

/// Lowers the rate or ends the training where validations no longer improve.
void Trainer::judge(double validation_loss) {
  const double before = counts_.plateau.scale;
  Plateau{.patience = options_.plateau, .factor = options_.plateau_factor}.observe(counts_.plateau, validation_loss);
  std::string text;
  if (counts_.plateau.scale != before) {
    text = fmt::format(
        "{} validations brought no better loss than {:.4g}: the learning rate is {:.4g} times its schedule",
        options_.plateau, counts_.plateau.improvement.best.value_or(validation_loss), counts_.plateau.scale);
    if (session_.leads()) log::info("{}", text);
    if (hooks_.metrics) hooks_.metrics->event(counts_.steps, "plateau", text);
  }
  if (options_.early_stop == 0) return;
  counts_.improvement.observe(validation_loss);
  if (counts_.improvement.without < options_.early_stop || counts_.steps >= total_) return;
  counts_.stopped_early = true;
  text =
      fmt::format("the training ends after step {}: {} validations brought no better loss than {:.4g} (--early-stop)",
                  counts_.steps, counts_.improvement.without, counts_.improvement.best.value_or(validation_loss));
  total_ = counts_.steps;
  if (session_.leads()) log::info("{}", text);
  if (hooks_.metrics) hooks_.metrics->event(counts_.steps, "early_stop", text);
}

}  // namespace trireme
