// What the steps of a recurrent layer work on, whichever way they are taken. Internal to core/ops.
#pragma once

#include "core/kernels/recurrent.hpp"
#include "core/ops/recurrent.hpp"

namespace trireme::ops {

/// What a pass keeps for its gradient. Step s makes state s + 1.
struct RecurrentPass {
  Saved weight_ih, weight_hh, bias_hh;
  RecurrentOptions options;
  std::int64_t batch, time, inputs, hidden, gates;
  DType dtype;
  Tensor x;       ///< (T, B, C): the input in the order of the steps.
  Tensor states;  ///< (T + 1, B, H).
  Tensor cells;   ///< The same in the accumulating type; null for a GRU.
  Tensor kept;    ///< (T, B, 4 H); of an LSTM in turn the input's products, the gates and their gradients.

  DType wide() const { return accum_dtype(dtype); }
  kernels::RecurrentSteps steps() const {
    return {.time = time,
            .hidden = hidden,
            .lengths = options.lengths ? options.lengths.data<std::int32_t>() : nullptr,
            .reverse = options.direction == RecurrentOptions::Direction::backward ? 1u : 0u,
            .cell = options.cell};
  }
  /// The part of `all` that belongs to a step: `width` numbers of each sample. Null if `all` is.
  template <class T>
  T* of_step(const Tensor& all, std::int64_t step, std::int64_t width) const {
    return all ? all.data<T>() + step * batch * width : nullptr;
  }
};

/// What the steps read of the input and write as output.
struct RecurrentSequences {
  Tensor projected;  ///< (T, B, gates H).
  Tensor y;          ///< (B, T, H).
};

/// The gradients on their way from step to step.
struct RecurrentFlow {
  Tensor dh, carry, dc;     ///< (B, H) in the accumulating type.
  Tensor dinputs, dstates;  ///< (T, B, gates H); of an LSTM the memory of what the pass kept.
  Tensor dy;                ///< (B, T, H).
};

/// The kernel of a step; `recurrent` are the state's products for the columns of `in`.
template <class T>
kernels::RecurrentForward<T> forward_step(const RecurrentPass& pass, const RecurrentSequences& of,
                                          const kernels::RecurrentSteps& in,
                                          std::pair<std::int64_t, const Accum<T>*> at) {
  using A = Accum<T>;
  const auto [step, recurrent] = at;
  return {.in = in,
          .step = step,
          .projected = pass.of_step<T>(of.projected, step, pass.gates * pass.hidden),
          .recurrent = recurrent,
          .bias = pass.bias_hh.get() ? pass.bias_hh.get().template data<T>() : nullptr,
          .h_before = pass.of_step<T>(pass.states, step, pass.hidden),
          .c_before = pass.of_step<A>(pass.cells, step, pass.hidden),
          .h_after = pass.of_step<T>(pass.states, step + 1, pass.hidden),
          .c_after = pass.of_step<A>(pass.cells, step + 1, pass.hidden),
          .kept = pass.of_step<T>(pass.kept, step, 4 * pass.hidden),
          .y = of.y.data<T>()};
}

/// The kernel of a step's gradient; `dh` for the columns of `in`.
template <class T>
kernels::RecurrentGradient<T> gradient_step(const RecurrentPass& pass, const RecurrentFlow& flow,
                                            const kernels::RecurrentSteps& in,
                                            std::pair<std::int64_t, const Accum<T>*> at) {
  using A = Accum<T>;
  const auto [step, dh] = at;
  return {.in = in,
          .step = step,
          .kept = pass.of_step<T>(pass.kept, step, 4 * pass.hidden),
          .h_before = pass.of_step<T>(pass.states, step, pass.hidden),
          .c_before = pass.of_step<A>(pass.cells, step, pass.hidden),
          .c_after = pass.of_step<A>(pass.cells, step + 1, pass.hidden),
          .dy = flow.dy.data<T>(),
          .dh = dh,
          .carry = flow.carry.data<A>(),
          .dc = flow.dc.data<A>(),
          .dinput = pass.of_step<T>(flow.dinputs, step, pass.gates * pass.hidden),
          .dstate = pass.of_step<T>(flow.dstates, step, pass.gates * pass.hidden)};
}

}  // namespace trireme::ops
