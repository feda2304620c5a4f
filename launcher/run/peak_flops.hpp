// The rate of arithmetic a rank can reach at best, to which a training's own rate is compared.
#pragma once

#include "core/tape/context.hpp"

namespace trireme {

/// Floating point operations per second of a product of two matrices: f32 and 1024 x 1024 with this rank's threads, on
/// a GPU `wanted` and 8192 x 8192. The best of several within about 0.2 s. All ranks of a host should measure at once,
/// as they train at once.
double measured_peak_flops(Context& context, DType wanted);

}  // namespace trireme
