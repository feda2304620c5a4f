// Shared by the norms over the last dim (layer_norm.cpp, rms_norm.cpp): checks of shapes, the second pass of a
// parameter's gradient, the gradient of a residual sum.
#pragma once

#include "core/kernels/launch.hpp"
#include "core/kernels/reduce.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops {

inline void check_norm_input(const char* op, const Value& x) {
  require(x.shape().dims() > 0 && x.shape()[-1] > 0, "{}: {} has no last dim to normalise over", op, x.shape());
}

/// `what` is the parameter's name in the message.
inline void check_norm_parameter(const char* op, const Value& x, const std::pair<const char*, const Value&>& what) {
  const auto& [name, value] = what;
  const Shape wanted{x.shape()[-1]};
  require(value.shape() == wanted, "{}: the {} is {}, but the last dim of {} wants {}", op, name, value.shape(),
          x.shape(), wanted);
  require(value.dtype() == x.dtype(), "{}: the {} is {}, but the input is {}", op, name, name_of(value.dtype()),
          name_of(x.dtype()));
}

inline void check_summands(const char* op, const Value& x, const Value& residual) {
  require(x.shape() == residual.shape() && x.dtype() == residual.dtype(),
          "{}: the summands are {} of {} and {} of {}; they must have one shape and element type", op, x.shape(),
          name_of(x.dtype()), residual.shape(), name_of(residual.dtype()));
}

/// Joins a parameter's partial sums (stripes, features) of f32 or f64.
inline void finish_norm_parameter(Context& context, const Tensor& partial, const Destination& to) {
  const std::int64_t features = to.tensor.elements();
  with_floating(to.tensor.dtype(), "norm gradient", [&](auto zero) {
    using T = decltype(zero);
    launch_elements(context.stream(), features,
                    kernels::ColumnFinish<T>{partial.data<Accum<T>>(), to.tensor.data<T>(), partial.shape()[0],
                                             features, 1, to.beta()});
  });
}

/// The gradient of a sum that is output 0 and, normalised, output 1: `through_norm(to)` writes or adds what comes
/// through the norm. It is made in the memory of the gradient of output 0 where that can be, and handed to the
/// summands, inputs 0 and 1.
template <class F>
void residual_gradient(Context& context, Gradients& g, const F& through_norm) {
  if (!g.wanted(0) && !g.wanted(1)) return;
  Destination to;
  if (g.arrived(0)) {
    to = {g.reusable(0), Write::accumulate};
    if (to.tensor.buffer() != g.output(0).buffer()) to.tensor.copy_from(g.output(0), context.stream());
  } else {
    to = {context.empty(g.output(1).shape(), g.output(1).dtype()), Write::overwrite};
  }
  through_norm(to);
  for (const int input : {0, 1})
    if (g.wanted(input)) g.hand_over(input, to.tensor);
}

}  // namespace trireme::ops
