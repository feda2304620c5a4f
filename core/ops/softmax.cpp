#include "core/ops/softmax.hpp"

#include "core/kernels/launch.hpp"
#include "core/kernels/softmax.hpp"

namespace trireme::ops {
namespace {

RowsShape rows_of(const char* op, const Shape& shape) {
  require(shape.dims() > 0, "{}: a scalar has no last dim; reshape it to (1)", op);
  const std::int64_t features = shape[-1];
  return {features == 0 ? 0 : shape.elements() / features, features};
}

template <template <class> class Forward, template <class> class Backward>
Value row_map(Context& context, const Value& x) {
  const char* const name = Forward<float>::name;
  const RowsShape shape = rows_of(name, x.shape());
  const Tensor y = context.empty(x.shape(), x.dtype());
  with_floating(x.dtype(), name, [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), shape, Forward<T>{x.tensor().data<T>(), y.data<T>(), shape.row_elements});
  });
  const Saved output{Value(y)};
  return context.record({name,
                         {&x, 1},
                         [output, shape, name](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           const Destination to = g.to(0);
                           with_floating(dy.dtype(), name, [&](auto zero) {
                             using T = decltype(zero);
                             launch_rows(c.stream(), shape,
                                         Backward<T>{output.get().data<T>(), dy.data<T>(), to.tensor.data<T>(),
                                                     shape.row_elements, to.beta()});
                           });
                         }},
                        y);
}

}  // namespace

Value softmax(Context& context, const Value& x) {
  return row_map<kernels::SoftmaxForward, kernels::SoftmaxGradient>(context, x);
}

Value log_softmax(Context& context, const Value& x) {
  return row_map<kernels::LogSoftmaxForward, kernels::LogSoftmaxGradient>(context, x);
}

}  // namespace trireme::ops
