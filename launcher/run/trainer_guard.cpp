// The numeric guard: a step whose loss or gradient is not finite changes nothing on any rank and is counted; after
// too many in a row the job ends. Summed gradients no longer tell where the trouble began, so the first such step of a
// row is computed once more with gradients kept apart, which names the rank and the tensor.
#include <cmath>

#include "core/base/log.hpp"
#include "launcher/run/trainer.hpp"

namespace trireme {
namespace {

bool all_finite(const Stream& stream, const Tensor& values) { return plane_norm(stream, values).finite; }

/// States (batch-norm statistics) as they were, put back at the end: a second pass must leave no trace.
class KeptStates {
 public:
  explicit KeptStates(Module& module) : states_(states_of(module)) {
    for (const NamedState& one : states_) copies_.push_back(one.state->value().clone());
  }
  ~KeptStates() {
    for (std::size_t k = 0; k < states_.size(); ++k) states_[k].state->value().copy_from(copies_[k]);
  }
  KeptStates(const KeptStates&) = delete;
  KeptStates& operator=(const KeptStates&) = delete;

 private:
  std::vector<NamedState> states_;
  std::vector<Tensor> copies_;
};

}  // namespace

/// What of this rank's own step is not finite, computed again with `peers`; empty: all is.
std::string Trainer::replay(const Queued& queued, Peers& peers) {
  const KeptStates kept(task_.module());
  PlaneGradients store(layout_,
                       Tensor::empty({layout_.trained_elements()}, layout_.gradient_dtype(), session_.device()));
  Tape tape(store);
  const auto loader = open_loader(queued.samples, 0);
  // On a GPU the step's own numbers may be those of the next step by now.
  StepState state = state_;
  state.step = queued.number - 1;
  StepControl control(session_.device(), {});
  control.set(state);
  bool loss_finite = true;
  store.begin();
  for (std::int64_t k = 0; k < options_.accumulate; ++k) {
    const Batch batch = loader->next();
    const Task::Loss loss = forward(batch, {tape, peers, state, control.state()});
    loss_finite = loss_finite && std::isfinite(loss.sum.tensor().item());
    tape.backward(context_, loss.sum, 1.0 / static_cast<double>(options_.batch));
    tape.clear();
  }
  store.finish();
  // Backward completes entries from the last to the first, so the last bad one went first.
  for (std::size_t k = layout_.trained(); k-- > 0;) {
    if (all_finite(session_.stream(), store.gradient(k))) continue;
    return fmt::format("{}the gradient of {}", loss_finite ? "" : "the loss, then ", layout_.entries()[k].name);
  }
  return loss_finite ? "" : "the loss";
}

std::string Trainer::find_culprit(const Queued& queued) {
  Communicator& ranks = parallel_->communicator();
  const auto first_of = [&](const std::vector<std::string>& findings) -> std::string {
    for (int r = 0; r < ranks.size(); ++r) {
      const std::string& found = findings[static_cast<std::size_t>(r)];
      if (!found.empty()) return fmt::format("{} on rank {} ({})", found, r, ranks.host_of(r));
    }
    return "";
  };
  // Alone first: with statistics shared over all ranks one rank's bad sample makes every rank's numbers bad.
  SinglePeer nobody;
  std::string mine;
  try {
    mine = replay(queued, nobody);
  } catch (const Error&) {
    mine.clear();  // a layer that cannot work on one rank's part (ghost groups): the second pass finds what there is
  }
  std::string found = first_of(ranks.all_gather_text(mine));
  if (found.empty()) found = first_of(ranks.all_gather_text(replay(queued, *session_.data())));
  return found.empty() ? "only the sum of the gradients over all ranks" : found;
}

/// Both windows take every step's numbers in, so that one outlier does not hide behind the other.
std::string Trainer::outlier_of(const Step& step) {
  const std::optional<double> of_loss = counts_.losses.score(step.loss);
  const std::optional<double> of_norm = counts_.norms.score(step.gradient_norm);
  if (options_.skip_outlier_loss > 0 && of_loss.value_or(0) > options_.skip_outlier_loss)
    return fmt::format("loss {:.4g}, {:.1f} deviations above the last {}", step.loss, *of_loss, OutlierWindow::length);
  if (options_.skip_outlier_norm > 0 && of_norm.value_or(0) > options_.skip_outlier_norm)
    return fmt::format("gradient norm {:.4g}, {:.1f} deviations above the last {}", step.gradient_norm, *of_norm,
                       OutlierWindow::length);
  return "";
}

void Trainer::count_skip(const Queued& queued) {
  const Step& step = queued.step;
  const std::int64_t number = queued.number;
  if (!step.skipped || !step.outlier.empty()) {
    counts_.skipped_in_a_row = 0;
    first_skip_.clear();
    if (!step.skipped) return;
    ++counts_.outliers;
    const std::string text = fmt::format("step {} is passed over: {}", number, step.outlier);
    if (session_.leads()) log::warning("{}; weights stay as they were", text);
    if (hooks_.metrics) hooks_.metrics->event(number, "outlier", text);
    return;
  }
  ++counts_.skipped;
  ++counts_.skipped_in_a_row;
  if (first_skip_.empty()) {
    first_skip_ = fmt::format("step {}: {}", number,
                              queued.broken > 0 ? find_culprit(queued) + " was not finite" : "the batch has no target");
    if (session_.leads()) log::warning("{}; weights stay as they were", first_skip_);
  }
  if (hooks_.metrics) hooks_.metrics->event(number, "skipped", first_skip_);
  if (counts_.skipped_in_a_row < options_.max_skipped) return;
  fail(
      ExitCode::numeric,
      "{} step{} in a row could not be used, up to step {}; it began in {}. Weights and optimizer are those before it; "
      "lower --learning-rate, set --clip, or look at the data (--max-skipped sets the limit)",
      counts_.skipped_in_a_row, counts_.skipped_in_a_row == 1 ? "" : "s", number, first_skip_);
}

}  // namespace trireme
