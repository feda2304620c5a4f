// Optimizers over planes: one kernel call updates a range of all parameters. They read the step's numbers (rate, clip
// factor, skip flag) from a StepState in device memory. Moments are f32 (f64 for f64), and so is what is updated: the
// masters, where parameters have 16 bits. Weight decay applies to the entries declared with Decay::yes.
#pragma once

#include <string>
#include <vector>

#include "core/nn/arena.hpp"
#include "core/tape/step_state.hpp"

namespace trireme {

struct OptimizerOptions {
  enum class Kind : std::uint8_t { sgd, adam, adamw };
  enum class Nesterov : std::uint8_t { off, on };
  Kind kind = Kind::adamw;
  double momentum = 0.9;  ///< sgd
  Nesterov nesterov = Nesterov::off;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< adam, adamw
  double weight_decay = 0;                            ///< sgd and adam: added to the gradient (L2); adamw: decoupled
};

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
  /// Updates elements [first, first + count) only (a shard). Call count_version() after the last range.
  void step_range(const Stream& stream, const StepState* state, std::int64_t first, std::int64_t count);
  /// Tells caches of weight forms that the values changed.
  void count_version();
  const std::vector<NamedPlane>& state_planes() const { return moments_; }

 private:
  struct Run {
    std::int64_t first, last;
    Decay decay;
  };
  template <class Param, class Grad>
  void update(const Stream& stream, const StepState* state, const Run& run);

  OptimizerOptions options_;
  Planes planes_;
  std::vector<NamedPlane> moments_;
  std::vector<Run> runs_;
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
