// A pass of an LSTM or GRU over sequences, one direction of one layer, f32, f64 or 16 bits, with gradients (Hochreiter,
// Schmidhuber 1997; Cho et al. 2014, arXiv:1406.1078). The products with the input are made over all times at once;
// each step is one product with the state and one fused kernel. Keeps the input, the states and four numbers per
// element of the output, in whose memory the gradients of an LSTM's gates are made, too. Cells are f32 (f64 for f64).
#pragma once

#include "core/kernels/recurrent.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

using kernels::Cell;

/// Gates are i, f, g, o of an LSTM, r, z, n of a GRU.
struct RecurrentInputs {
  Value x;             ///< (B, T, C).
  Value weight_ih;     ///< (gates H, C), of the input.
  Value bias_ih = {};  ///< (gates H) or nothing.
  Value weight_hh;     ///< (gates H, H), of the state.
  Value bias_hh =
      {};  ///< (gates H) or nothing: of the state's products, of which a GRU's reset gate multiplies the last.
  Value hidden = {};  ///< (B, H) or nothing for zeros: the first state.
  Value cell = {};    ///< The same of an LSTM's cell.
};

struct RecurrentOptions {
  Cell cell = Cell::lstm;
  enum class Direction : std::uint8_t { forward, backward } direction = Direction::forward;
  /// i32 (B) or an empty handle for T: the times of each sample; behind them outputs are 0, and a pass backward begins
  /// at the last of them. One above T is an Error where they are in host memory.
  Tensor lengths = {};
};

struct RecurrentResult {
  Value y;       ///< (B, T, H).
  Value hidden;  ///< (B, H): the state after each sample's last step.
  Value cell;    ///< The same of an LSTM's cell; nothing of a GRU.
};
RecurrentResult recurrent(Context& context, const RecurrentInputs& inputs, const RecurrentOptions& options);

}  // namespace trireme::ops
