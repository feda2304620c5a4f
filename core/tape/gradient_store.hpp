// Where gradients of parameters go. Backward asks the store for a destination, writes or adds the gradient there, and
// says when a parameter is complete; the store decides what that memory is (a range of the `grad` plane) and what
// completeness starts (a reduction over processes, see comm/parallel). Nothing is ever zeroed first or copied after.
#pragma once

#include <cstdint>

#include "core/tensor/tensor.hpp"

namespace trireme {

class Parameter;

/// Whether a gradient function replaces what the destination holds or adds to it (beta 0 or 1 of a product).
enum class Write : std::uint8_t { overwrite, accumulate };

struct Destination {
  /// Of a store it may be of a wider type than the parameter (gradients in f32 of parameters in 16 bits).
  Tensor tensor;
  Write mode = Write::overwrite;
  /// The factor on the old content: 0 or 1.
  float beta() const { return mode == Write::accumulate ? 1.0f : 0.0f; }
};

class GradientStore {
 public:
  virtual ~GradientStore() = default;
  /// Memory for (another contribution to) the parameter's gradient. Called before ready(), any number of times, and
  /// never for a frozen parameter.
  virtual Destination acquire(Parameter& parameter) = 0;
  /// This backward pass will not touch the parameter again; it may never have touched it (then its gradient is zero).
  virtual void ready(Parameter& parameter) = 0;
};

}  // namespace trireme
