// The steps of a recurrent layer of f32 on a CPU: every thread owns some columns of the state, computes the products
// and the gates of those, and waits for the others once a step. What a thread wrote last stays in its cache, and its
// part of the weight, laid out once, does too. Internal to core/ops.
#pragma once

#include "core/ops/recurrent_pass.hpp"

namespace trireme::ops::recurrent_cpu {

/// Whether the steps of this pass are taken here.
bool suits(const Context& context, const RecurrentPass& pass);
void run_steps(Context& context, const RecurrentPass& pass, const RecurrentSequences& of);
void run_back(Context& context, const RecurrentPass& pass, const RecurrentFlow& flow);

}  // namespace trireme::ops::recurrent_cpu
