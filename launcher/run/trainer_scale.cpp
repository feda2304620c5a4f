// The loss scale of f16: all ranks see the same sums, so all give the same step up and change the scale together. Such
// steps are the search for the scale, not damage: they do not count for the numeric guard.
#include <cmath>

#include "core/base/log.hpp"
#include "launcher/run/trainer.hpp"

namespace trireme {

/// Gradients that are not finite, of a loss that is.
bool Trainer::overflowed(const Queued& queued) const {
  return options_.precision.scales_loss() && queued.broken > 0 && std::isfinite(queued.step.loss);
}

void Trainer::count_overflow(const Queued& queued) {
  ++counts_.overflows;
  const std::int64_t number = queued.number;
  const double before = counts_.loss_scale.value;
  const LossScale lower = LossScaling::after_overflow(counts_.loss_scale);
  if (LossScaling::is_exhausted(lower))
    fail(ExitCode::numeric,
         "the gradients of step {} are not finite even at a loss scale of {}: {} was not finite. Weights and optimizer "
         "are those before it; lower --learning-rate, set --clip, look at the data, or use --precision bf16, whose "
         "range is that of f32",
         number, before, find_culprit(queued));
  counts_.loss_scale = lower;
  const std::string text =
      fmt::format("step {} is given up: its gradients overflowed at a loss scale of {}, which becomes {}", number,
                  before, lower.value);
  if (session_.leads()) log::info("{}", text);
  if (hooks_.metrics) hooks_.metrics->event(number, "overflow", text);
}

}  // namespace trireme
