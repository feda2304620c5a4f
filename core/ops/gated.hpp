// Gated units of feed-forward layers (Shazeer 2020, arXiv:2002.05202), f32 or f64, with gradients.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

/// silu(gate) * up for (..., 2 F) -> (..., F): the first F of the last dim are the gate. Keeps its input only.
Value gated_silu(Context& context, const Value& gate_up);

}  // namespace trireme::ops
