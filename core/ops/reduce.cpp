#include "core/ops/reduce.hpp"

#include "core/base/checked.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/reduce.hpp"

namespace trireme::ops {
namespace {

/// The gradient of a total is written in rows of this many elements, so that lanes and threads share the work.
constexpr std::int64_t spread_row = 16384;

void total_into(Context& context, const Tensor& x, const Destination& to, double alpha) {
  const std::int64_t chunks = ceil_div(x.elements(), kernels::sum_chunk);
  const Tensor partial = context.empty({chunks}, DType::f64);
  with_floating(x.dtype(), "sum", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {chunks, kernels::sum_chunk},
                kernels::ChunkSum<T>{x.data<T>(), partial.data<double>(), x.elements()});
  });
  with_floating(to.tensor.dtype(), "sum", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {1, chunks},
                kernels::ChunkFinish<T>{partial.data<double>(), to.tensor.data<T>(), chunks, alpha,
                                        static_cast<double>(to.beta())});
  });
}

void row_sum_into(Context& context, const Tensor& x, const Destination& to, double alpha) {
  const std::int64_t features = x.shape()[-1];
  with_floating(x.dtype(), "sum", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(
        context.stream(), {to.tensor.elements(), features},
        kernels::RowSum<T>{x.data<T>(), to.tensor.data<T>(), features, static_cast<Accum<T>>(alpha), to.beta()});
  });
}

/// Where the gradient of an element of x is found: element row * row_step + column * column_step of dy.
struct SpreadShape {
  std::int64_t rows, features, row_step;
  int column_step;
};

SpreadShape spread_shape(const Shape& x, Over over) {
  if (over == Over::first_dim) return {x[0], x.elements_from(1), 0, 1};
  if (over == Over::last_dim) return {x[-1] == 0 ? 0 : x.elements() / x[-1], x[-1], 1, 0};
  const std::int64_t whole = x.elements() / spread_row;  // the rest follows in one shorter row
  return {whole, spread_row, 0, 0};
}

void spread(Context& context, const Tensor& dy, const Destination& to, const std::pair<Over, double>& how) {
  const auto& [over, alpha] = how;
  const SpreadShape shape = spread_shape(to.tensor.shape(), over);
  with_floating(dy.dtype(), "sum", [&, alpha = alpha](auto zero) {
    using T = decltype(zero);
    const kernels::Spread<T> kernel{.x = dy.data<T>(),
                                    .y = to.tensor.data<T>(),
                                    .features = shape.features,
                                    .row_step = shape.row_step,
                                    .column_step = shape.column_step,
                                    .alpha = static_cast<Accum<T>>(alpha),
                                    .beta = to.beta()};
    launch_rows(context.stream(), {shape.rows, shape.features}, kernel);
    const std::int64_t done = shape.rows * shape.features, rest = to.tensor.elements() - done;
    if (rest == 0) return;
    auto last = kernel;
    last.y = kernel.y ? kernel.y + done : nullptr;
    last.features = rest;
    launch_rows(context.stream(), {1, rest}, last);
  });
}

Shape reduced(const char* op, const Shape& x, Over over) {
  if (over == Over::all) return {1};
  require(x.dims() > 0, "{}: a scalar has no dim to sum over; use Over::all", op);
  if (over == Over::first_dim) return x.tail();
  return Shape(x.extents().first(static_cast<std::size_t>(x.dims() - 1)));
}

Value reduce(Context& context, const Value& x, Over over, double alpha) {
  const Tensor y = context.empty(reduced("sum", x.shape(), over), x.dtype());
  const Destination to{y, Write::overwrite};
  if (over == Over::all) total_into(context, x.tensor(), to, alpha);
  if (over == Over::first_dim) column_sum_into(context, x.tensor(), to, alpha);
  if (over == Over::last_dim) row_sum_into(context, x.tensor(), to, alpha);
  return context.record({"sum",
                         {&x, 1},
                         [over, alpha](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           spread(c, dy, g.to(0), {over, alpha});
                         }},
                        y);
}

}  // namespace

void column_sum_into(Context& context, const Tensor& x, const Destination& to, double alpha) {
  const std::int64_t features = to.tensor.elements();
  if (features == 0) return;
  if (features == 1) return total_into(context, x, to, alpha);
  const std::int64_t rows = x.elements() / features;
  require(rows * features == x.elements(), "column sum: {} does not consist of rows of {} elements", x.shape(),
          features);
  const Stripes stripes = stripes_for(rows);
  const Tensor partial = context.empty({stripes.count, features}, accum_dtype(x.dtype()));
  with_floating(x.dtype(), "column sum", [&](auto zero) {
    using T = decltype(zero);
    launch_columns(context.stream(), {stripes.count, features, pack_width<T>},
                   kernels::ColumnSum<T>{x.data<T>(), partial.data<Accum<T>>(), rows, features, stripes.rows_each});
  });
  with_floating(to.tensor.dtype(), "column sum", [&](auto zero) {
    using T = decltype(zero);
    launch_elements(context.stream(), features,
                    kernels::ColumnFinish<T>{partial.data<Accum<T>>(), to.tensor.data<T>(), stripes.count, features,
                                             static_cast<Accum<T>>(alpha), to.beta()});
  });
}

Value sum(Context& context, const Value& x, Over over) { return reduce(context, x, over, 1); }

Value mean(Context& context, const Value& x, Over over) {
  const Shape& shape = x.shape();
  const std::int64_t left = reduced("mean", shape, over).elements();
  const std::int64_t count = over == Over::all ? shape.elements() : (over == Over::first_dim ? shape[0] : shape[-1]);
  require(count > 0 || left == 0, "mean: {} has no elements to average over", shape);
  return reduce(context, x, over, count > 0 ? 1 / static_cast<double>(count) : 0);
}

Tensor argmax(Context& context, const Tensor& x) {
  require(x.shape().dims() > 0 && x.shape()[-1] > 0, "argmax: {} has no last dim to search", x.shape());
  require(x.shape()[-1] <= INT32_MAX, "argmax: a last dim of {} does not fit the result's i32", x.shape()[-1]);
  const Tensor out = context.empty(reduced("argmax", x.shape(), Over::last_dim), DType::i32);
  with_floating(x.dtype(), "argmax", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {out.elements(), x.shape()[-1]},
                kernels::ArgMax<T>{x.data<T>(), out.data<std::int32_t>(), x.shape()[-1]});
  });
  return out;
}

}  // namespace trireme::ops
