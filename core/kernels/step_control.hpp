// The numbers of a training step that are made, added up over all processes and acted upon where the parameters are, so
// that no host waits between a step's backward pass and its update. The message is f64: what the parts of a batch add
// up. From the sums the last kernel takes the one decision of a step, clip or skip, the same in every process.
#pragma once

#include <cmath>

#include "core/kernels/team.hpp"
#include "core/tape/step_state.hpp"

namespace trireme {

/// What became of a step, for people and for the history of losses.
struct StepOutcome {
  double loss = 0;           ///< Mean over the targets.
  double gradient_norm = 0;  ///< Of the mean loss, before clipping.
  double exact = 0;          ///< Factor from summed to mean gradients.
  double broken = 0;         ///< Parts whose loss or gradient was not finite.
  std::uint32_t skip = 0;
};

/// Places in the message.
struct StepMessage {
  static constexpr int squared_norm = 0, targets = 1, loss = 2, broken = 3, count = 4;
};

namespace kernels {

/// Row kernels of one row, all of them.
struct BeginStep {
  static constexpr const char* name = "begin_step";
  StepState* state;
  double* message;
  std::int64_t step;
  double rate, loss_scale;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t) const {
    if (team.lane() != 0) return;
    state->step = step;
    state->rate = rate;
    state->loss_scale = loss_scale;
    state->skip = 0;
    for (int k = 0; k < StepMessage::count; ++k) message[k] = 0;
  }
};

/// Adds the loss and the targets of a micro-batch.
template <class T>
struct AddLoss {
  static constexpr const char* name = "add_loss";
  const T* loss;
  const double* targets;
  double* message;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t) const {
    if (team.lane() != 0) return;
    message[StepMessage::loss] += static_cast<double>(static_cast<Accum<T>>(*loss));
    message[StepMessage::targets] += *targets;
  }
};

/// The squared norm from its partial sums (of SquaredNorm), in a fixed order for a team, and whether all is finite.
struct AddNorm {
  static constexpr const char* name = "add_norm";
  const double* partial;
  std::int64_t count;
  double* message;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t) const {
    double mine = 0;
    for (std::int64_t i = team.lane(); i < count; i += team.lanes()) mine += partial[i];
    const double total = team.sum(mine);
    if (team.lane() != 0) return;
    message[StepMessage::squared_norm] = total;
    message[StepMessage::broken] = finite(total) && finite(message[StepMessage::loss]) ? 0.0 : 1.0;
  }

 private:
  TRIREME_HD static bool finite(double x) { return x - x == 0; }
};

/// From the sums over all processes: the factor of every gradient, clipped where the norm is above `clip` (0: never),
/// and whether the step is skipped. Without a target there is nothing to learn from. `nominal` is the constant count
/// that the loss was divided by.
struct DecideStep {
  static constexpr const char* name = "decide_step";
  const double* message;
  StepState* state;
  StepOutcome* outcome;
  double nominal, clip;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t) const {
    if (team.lane() != 0) return;
    const double targets = message[StepMessage::targets], broken = message[StepMessage::broken];
    const double exact = nominal / targets / state->loss_scale;
    const double norm = std::sqrt(message[StepMessage::squared_norm]) * exact;
    state->gradient_scale = (clip > 0 && norm > clip ? clip / norm : 1.0) * exact;
    state->skip = broken > 0 || !(targets > 0) ? 1 : 0;
    *outcome = {message[StepMessage::loss] / targets, norm, exact, broken, state->skip};
  }
};

/// What only the host can know, a loss that stands out from those before it.
struct SkipStep {
  static constexpr const char* name = "skip_step";
  StepState* state;
  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t) const {
    if (team.lane() == 0) state->skip = 1;
  }
};

}  // namespace kernels
}  // namespace trireme
