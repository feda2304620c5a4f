#include "core/ops/gated.hpp"

#include "core/kernels/gated.hpp"
#include "core/kernels/launch.hpp"

namespace trireme::ops {

Value gated_silu(Context& context, const Value& gate_up) {
  const Shape& shape = gate_up.shape();
  require(shape.dims() > 0 && shape[-1] > 0 && shape[-1] % 2 == 0,
          "gated_silu: the last dim of {} does not divide into a gate and as many values", shape);
  const std::int64_t features = shape[-1] / 2, rows = gate_up.elements() / shape[-1];
  const Tensor y = context.empty(shape.with(-1, features), gate_up.dtype());
  with_floating(gate_up.dtype(), "gated_silu", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {rows, 2 * features},
                kernels::GatedSilu<T>{gate_up.tensor().data<T>(), y.data<T>(), features});
  });
  const Saved kept(gate_up);
  return context.record({"gated_silu",
                         {&gate_up, 1},
                         [kept, rows, features](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           const Destination to = g.to(0);
                           with_floating(dy.dtype(), "gated_silu", [&](auto zero) {
                             using T = decltype(zero);
                             launch_rows(c.stream(), {rows, 2 * features},
                                         kernels::GatedSiluGradient<T>{kept.get().template data<T>(), dy.data<T>(),
                                                                       to.tensor.data<T>(), features, to.beta()});
                           });
                         }},
                        y);
}

}  // namespace trireme::ops
