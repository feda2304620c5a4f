// Optimizers over planes: one kernel call updates a range of all parameters. They read the step's numbers (rate, clip
// factor, skip flag) from a StepState in device memory. Moments are f32 (f64 for f64), and so is what is updated: the
// masters, where parameters have 16 bits. Weight decay applies to the entries declared with Decay::yes.
//
// sgd, adam, adamw, rmsprop and lion look at each element alone and can update any range of a plane. lamb and adafactor
// want the norm of each whole parameter and muon its matrix: they refuse a range that cuts one.
#pragma once

#include <string>
#include <vector>

#include "core/device/memory.hpp"
#include "core/nn/arena.hpp"
#include "core/optim/parameter_groups.hpp"
#include "core/tape/step_state.hpp"

namespace trireme {

struct OptimizerOptions {
  /// rmsprop: Tieleman, Hinton 2012. lion: Chen et al. 2023, arXiv:2302.06675. lamb: You et al. 2020, arXiv:1904.00962.
  /// adafactor: Shazeer, Stern 2018, arXiv:1804.04235, without momentum, with relative steps that the rate limits.
  /// muon: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", for parameters of two and
  /// more dims (taken as a matrix of dim 0 by the rest); the others go by adamw.
  enum class Kind : std::uint8_t { sgd, adam, adamw, rmsprop, lion, lamb, adafactor, muon };
  enum class Nesterov : std::uint8_t { off, on };
  Kind kind = Kind::adamw;
  double momentum = 0.9;              ///< sgd, rmsprop (0: none), muon
  Nesterov nesterov = Nesterov::off;  ///< sgd, muon
  /// adam, adamw, lamb, muon's other parameters; lion (epsilon unused); adafactor (epsilon only: least root of a
  /// variance)
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double smoothing = 0.99;  ///< rmsprop: of the average of squares
  /// sgd, adam, rmsprop: added to the gradient (L2); lamb: added to the direction; else decoupled
  double weight_decay = 0;
  std::vector<ParameterGroup> groups = {};  ///< The first that fits a name counts; frozen is the arena's matter.
};

/// How one entry is updated: by its group, or as the options say.
struct UpdateSettings {
  double rate_factor = 1, weight_decay = 0;
  friend bool operator==(const UpdateSettings&, const UpdateSettings&) = default;
};
UpdateSettings settings_of(const OptimizerOptions& options, const ArenaEntry& entry);
/// Whether an update of this parameter needs all of it at once.
bool needs_whole(OptimizerOptions::Kind kind, const Parameter& parameter);

/// A plane of optimizer state, for checkpoints.
struct NamedPlane {
  std::string name;
  Tensor plane;
};

class Optimizer {
 public:
  /// Allocates the moment planes (zero) next to `planes`, which it keeps.
  Optimizer(const OptimizerOptions& options, const ArenaLayout& layout, const Planes& planes);

  /// Updates all trained parameters; `state` lies in memory of the planes' device.
  void step(const Stream& stream, const StepState* state);
  /// Updates elements [first, first + count) only (a shard). Call count_version() after the last range. Error(usage)
  /// where the kind needs whole parameters and the range cuts one.
  void step_range(const Stream& stream, const StepState* state, std::int64_t first, std::int64_t count);
  /// Tells caches of weight forms that the values changed.
  void count_version();
  const std::vector<NamedPlane>& state_planes() const { return moments_; }

 private:
  struct Run {
    std::int64_t first, last;
    UpdateSettings settings;
  };
  /// A parameter that is updated as a whole.
  struct Whole {
    ArenaEntry entry;
    UpdateSettings settings;
  };
  void add_entry(const ArenaEntry& entry, std::int64_t last);
  template <class Param, class Grad>
  void update(const Stream& stream, const StepState* state, const Run& run);
  void update_whole(const Stream& stream, const StepState* state, const Whole& whole);
  template <class A>
  A* moment(const char* name, std::int64_t first) const;

  OptimizerOptions options_;
  Planes planes_;
  std::vector<NamedPlane> moments_;
  std::vector<Run> runs_;
  std::vector<Whole> wholes_;
  std::unique_ptr<StepAllocator> memory_;  // for directions of whole parameters
};

/// The running average of weights: decay * average + (1 - decay) * value after each step that is not skipped. The first
/// values are those of the weights. It lies in one more plane of the type of the masters.
class WeightAverage {
 public:
  WeightAverage(double decay, const Planes& planes);
  void step(const Stream& stream, const StepState* state) const;
  const Tensor& plane() const { return average_; }
  /// Begins again from the present weights.
  void restart(const Stream& stream) const;
  /// Exchanges the weights and their average; the caller rounds masters and counts the version up.
  void exchange(const Stream& stream) const;

 private:
  double decay_;
  Planes planes_;
  Tensor average_;
};

/// The squared Euclidean norm of a plane's elements in f64, added in a fixed order; `finite` is false when any element
/// is infinite or not a number (then the norm is meaningless). Blocks until known.
struct PlaneNorm {
  double squared = 0;
  bool finite = true;
};
PlaneNorm plane_norm(const Stream& stream, const Tensor& plane);
/// Its first half, which does not wait: sums of squares of pieces of the plane, f64 (at least norm_partials(elements)).
void plane_squares(const Stream& stream, const Tensor& plane, const Tensor& partials);
std::int64_t norm_partials(std::int64_t elements);

}  // namespace trireme
