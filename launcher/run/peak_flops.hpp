// The rate of arithmetic a rank can reach at best, to which a training's own rate is compared.
#pragma once

#include "core/tape/context.hpp"

namespace trireme {

/// Floating point operations per second of a product of two f32 matrices (1024 x 1024) with this rank's threads: the
/// best of several within about 0.2 s. All ranks of a host should measure at once, as they train at once.
double measured_peak_flops(Context& context);

}  // namespace trireme
