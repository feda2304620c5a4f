// What --precision and --gradients mean: the types in which parameters, gradients and the numbers between are stored.
// Sums, statistics, moments and masters of parameters are f32 throughout (f64 with f64). See docs/precision.md.
#pragma once

#include "core/optim/loss_scale.hpp"
#include "core/tensor/dtype.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

enum class Precision : std::uint8_t { f32, tf32, bf16, f16, f64 };
/// full: f32, or f64 with f64; half: as 16-bit parameters.
enum class GradientStorage : std::uint8_t { full, half };

struct PrecisionOptions {
  Precision precision = Precision::f32;
  GradientStorage gradients = GradientStorage::full;
  LossScaling loss_scaling = {};  ///< Of f16.

  void declare(OptionGroup& group);
  /// Of parameters and of all that is computed from them.
  DType dtype() const;
  /// Error(usage) where half is asked for without 16-bit parameters.
  DType gradient_dtype() const;
  bool scales_loss() const { return precision == Precision::f16; }
};

}  // namespace trireme
