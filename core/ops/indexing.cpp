#include "core/ops/indexing.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/checked.hpp"
#include "core/kernels/along.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/shape_ops.hpp"

namespace trireme::ops {
namespace {

struct Rows {
  std::int64_t rows, features;
};

Rows table_rows(const char* op, const Shape& shape) {
  require(shape.dims() > 0 && shape[-1] > 0, "{}: {} has no last dim to look along; reshape it to (..., n)", op, shape);
  require(shape[-1] <= INT32_MAX, "{}: a last dim of {} does not fit indices of i32", op, shape[-1]);
  return {shape.elements() / shape[-1], shape[-1]};
}

/// Indices in host memory exist among `extent`.
void check_indices(const char* op, const Tensor& index, std::int64_t extent) {
  require(index.dtype() == DType::i32, "{}: the indices are {}, wanted i32", op, name_of(index.dtype()));
  if (index.device().kind != Device::Kind::cpu) return;
  const auto all = index.span<std::int32_t>();
  const auto wrong = std::find_if(all.begin(), all.end(), [&](std::int32_t i) { return i < 0 || i >= extent; });
  require(wrong == all.end(), "{}: index number {} of {} is {}, but there are {} to choose from (0 to {})", op,
          wrong - all.begin(), index.shape(), wrong == all.end() ? 0 : *wrong, extent, extent - 1);
}

/// Both have the same leading dims.
void check_leading(const char* op, const Shape& x, const Shape& index) {
  const bool fits = index.dims() == x.dims() && x.with(-1, 1) == index.with(-1, 1);
  require(fits, "{}: the indices {} and the input {} differ in more than their last dim", op, index, x);
}

struct IndexedDim {
  Tensor index;
  std::int64_t rows, features, count;
};

void take_into(Context& context, const Tensor& x, const IndexedDim& along, const std::pair<Destination, double>& to) {
  with_floating(x.dtype(), "take_along", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {along.rows, along.count},
                kernels::TakeAlong<T>{x.data<T>(), along.index.data<std::int32_t>(), to.first.tensor.data<T>(),
                                      along.features, along.count, static_cast<Accum<T>>(to.second), to.first.beta()});
  });
}

void scatter_into(Context& context, const Tensor& x, const IndexedDim& along, const Destination& to) {
  with_floating(x.dtype(), "scatter_along", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {along.rows, along.features},
                kernels::ScatterAlong<T>{x.data<T>(), along.index.data<std::int32_t>(), to.tensor.data<T>(),
                                         along.features, along.count, to.beta()});
  });
}

/// What taking elements by index leaves on the tape: their gradients are added where they came from.
Value record_taken(Context& context, const char* name, const std::pair<const Value&, Tensor>& x_y,
                   const IndexedDim& along) {
  const auto gradient = [along](Context& c, Gradients& g) {
    const Tensor dy = g.output();
    scatter_into(c, dy, along, g.to(0));
  };
  return context.record({name, {&x_y.first, 1}, gradient}, x_y.second);
}

/// The k largest of sign * x.
Chosen choose(Context& context, const char* op, const Value& x, std::pair<std::int64_t, double> k_sign) {
  const auto [k, sign] = k_sign;
  const Rows in = table_rows(op, x.shape());
  require(k > 0 && k <= in.features, "{}: {} elements of rows of {}; wanted 1 to {}", op, k, in.features, in.features);
  const Shape shape = x.shape().with(-1, k);
  const Tensor y = context.empty(shape, x.dtype()), index = context.empty(shape, DType::i32);
  with_floating(x.dtype(), op, [&, k = k, sign = sign](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {in.rows, in.features},
                kernels::TopK<T>{x.tensor().data<T>(), y.data<T>(), index.data<std::int32_t>(), in.features, k,
                                 static_cast<Accum<T>>(sign)});
  });
  return {record_taken(context, op, {x, y}, {index, in.rows, in.features, k}), index};
}

Value without_last(Context& context, const Value& x) {
  return reshape(context, x, Shape(x.shape().extents().first(to_size(x.shape().dims() - 1))));
}

constexpr std::int64_t run_elements = 256;

void run_sums(Context& context, const Tensor& x, const std::pair<Destination, std::uint32_t>& to_reverse) {
  const auto& [to, reverse] = to_reverse;
  const std::int64_t features = x.shape()[-1], rows = x.elements() / features, runs = ceil_div(features, run_elements);
  const kernels::Runs in{features, runs, run_elements, reverse};
  with_floating(x.dtype(), "cumulative_sum", [&, &to = to](auto zero) {
    using T = decltype(zero);
    Tensor totals;
    if (runs > 1) {
      totals = context.empty({rows, runs}, accum_dtype(x.dtype()));
      launch_elements(context.stream(), rows * runs, kernels::RunTotals<T>{x.data<T>(), totals.data<Accum<T>>(), in});
    }
    launch_elements(context.stream(), rows * runs,
                    kernels::RunSums<T>{x.data<T>(), totals ? totals.data<Accum<T>>() : nullptr, to.tensor.data<T>(),
                                        in, to.beta()});
  });
}

}  // namespace

Value where(Context& context, const Tensor& condition, const Choice& choice) {
  const auto& [yes, no] = choice;
  require(
      condition.dtype() == DType::u8 && condition.shape() == yes.shape() && yes.shape() == no.shape() &&
          yes.dtype() == no.dtype(),
      "where: condition {} of {}, choices {} of {} and {} of {}; wanted one shape, a condition of u8, choices of one "
      "type",
      condition.shape(), name_of(condition.dtype()), yes.shape(), name_of(yes.dtype()), no.shape(),
      name_of(no.dtype()));
  context.require_here("where", "condition", condition);
  const Tensor y = context.empty(yes.shape(), yes.dtype());
  with_floating(yes.dtype(), "where", [&, &yes = yes, &no = no](auto zero) {
    using T = decltype(zero);
    launch_elements(
        context.stream(), y.elements(),
        kernels::Where<T>{condition.data<std::uint8_t>(), yes.tensor().data<T>(), no.tensor().data<T>(), y.data<T>()});
  });
  const Value inputs[] = {yes, no};
  const auto gradient = [condition](Context& c, Gradients& g) {
    const Tensor dy = g.output();
    with_floating(dy.dtype(), "where", [&](auto zero) {
      using T = decltype(zero);
      for (const int k : {0, 1}) {
        if (!g.wanted(k)) continue;
        const Destination to = g.to(k);
        launch_elements(c.stream(), dy.elements(),
                        kernels::WhereGradient<T>{condition.data<std::uint8_t>(), dy.data<T>(), to.tensor.data<T>(),
                                                  k == 0 ? 1u : 0u, to.beta()});
      }
    });
  };
  return context.record({"where", inputs, gradient}, y);
}

Value gather(Context& context, const Value& x, const Tensor& index) {
  require(x.shape().dims() > 0 && index.shape().dims() == 1,
          "gather: the input is {} and the indices {}; wanted (n, ...) and (m)", x.shape(), index.shape());
  check_indices("gather", index, x.shape()[0]);
  context.require_here("gather", "indices", index);
  const std::int64_t rows = x.shape()[0], count = index.elements();
  const Value table = reshape(context, x, {rows, x.shape().elements_from(1)});
  return reshape(context, embedding(context, index.reshape({1, count}), {.table = table}), x.shape().with(0, count));
}

Value take_along(Context& context, const Value& x, const Tensor& index) {
  const Rows in = table_rows("take_along", x.shape());
  check_leading("take_along", x.shape(), index.shape());
  check_indices("take_along", index, in.features);
  context.require_here("take_along", "indices", index);
  const Tensor y = context.empty(index.shape(), x.dtype());
  const IndexedDim along{index, in.rows, in.features, index.shape()[-1]};
  take_into(context, x.tensor(), along, {{y, Write::overwrite}, NAN});
  return record_taken(context, "take_along", {x, y}, along);
}

Value scatter_along(Context& context, const Value& x, const Tensor& index, std::int64_t features) {
  const Rows in = table_rows("scatter_along", x.shape());
  require(features > 0 && index.shape() == x.shape(),
          "scatter_along: the indices are {} for {} into rows of {}; wanted one shape and a positive number",
          index.shape(), x.shape(), features);
  check_indices("scatter_along", index, features);
  context.require_here("scatter_along", "indices", index);
  const Tensor y = context.empty(x.shape().with(-1, features), x.dtype());
  const IndexedDim along{index, in.rows, features, in.features};
  scatter_into(context, x.tensor(), along, {y, Write::overwrite});
  const auto gradient = [along](Context& c, Gradients& g) {
    const Tensor dy = g.output();
    take_into(c, dy, along, {g.to(0), 0.0});
  };
  return context.record({"scatter_along", {&x, 1}, gradient}, y);
}

Chosen top_k(Context& context, const Value& x, std::int64_t k) { return choose(context, "top_k", x, {k, 1}); }

Value max_along(Context& context, const Value& x) {
  return without_last(context, choose(context, "max_along", x, {1, 1}).values);
}

Value min_along(Context& context, const Value& x) {
  return without_last(context, choose(context, "min_along", x, {1, -1}).values);
}

Tensor argmin(Context& context, const Tensor& x) {
  const Tensor at = choose(context, "argmin", x, {1, -1}).indices;
  return at.reshape(Shape(x.shape().extents().first(to_size(x.shape().dims() - 1))));
}

Value cumulative_sum(Context& context, const Value& x) {
  static_cast<void>(table_rows("cumulative_sum", x.shape()));
  const Tensor y = context.empty(x.shape(), x.dtype());
  run_sums(context, x.tensor(), {{y, Write::overwrite}, 0u});
  const auto gradient = [](Context& c, Gradients& g) {
    const Tensor dy = g.output();
    run_sums(c, dy, {g.to(0), 1u});
  };
  return context.record({"cumulative_sum", {&x, 1}, gradient}, y);
}

}  // namespace trireme::ops
