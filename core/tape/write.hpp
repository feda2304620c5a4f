// The one way from a tensor into a destination of gradients: scaled, rounded where the types differ, written or added.
#pragma once

#include "core/device/stream.hpp"
#include "core/tape/gradient_store.hpp"

namespace trireme {

/// A tensor and the factor it counts with.
struct Scaled {
  const Tensor& tensor;
  double factor = 1;
};

/// to = beta * to + factor * from, element by element, computed in f32 or f64. Types: the same floating one, or f32 and
/// a 16-bit one.
void write(const Stream& stream, const Scaled& from, const Destination& to);

}  // namespace trireme
