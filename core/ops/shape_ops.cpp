#include "core/ops/shape_ops.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/base/checked.hpp"
#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/permute_plan.hpp"

namespace trireme::ops {
namespace {

int positive_dim(const char* op, int dim, const Shape& shape) {
  const int at = dim < 0 ? dim + shape.dims() : dim;
  require(at >= 0 && at < shape.dims(), "{}: dim {} of {} does not exist", op, dim, shape);
  return at;
}

/// A block of every row of one side copied to a block of every row of the other.
struct Blocks {
  std::int64_t rows, count;
  std::int64_t x_stride, x_first;
  std::int64_t y_stride, y_first;
};

void copy_blocks(Context& context, const Tensor& x, const Destination& to, const Blocks& blocks) {
  if (context.on_meta()) return;
  with_floating(x.dtype(), "copy", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {blocks.rows, blocks.count},
                kernels::CopyRows<T>{x.data<T>() + blocks.x_first, to.tensor.data<T>() + blocks.y_first, blocks.count,
                                     blocks.x_stride, blocks.y_stride, to.beta()});
  });
}

/// Zeros, unless the destination holds an earlier contribution: for gradients that cover only a part.
Destination zeroed(Context& context, const Destination& to) {
  if (to.mode == Write::overwrite)
    with_floating(to.tensor.dtype(), "zero", [&](auto zero) {
      using T = decltype(zero);
      launch_elements(context.stream(), to.tensor.elements(), kernels::Fill<T>{to.tensor.data<T>(), 0});
    });
  return {to.tensor, Write::accumulate};
}

std::vector<int> checked_order(const Shape& shape, std::span<const int> order) {
  std::vector<int> seen(order.begin(), order.end()), all(to_size(shape.dims()));
  std::sort(seen.begin(), seen.end());
  std::iota(all.begin(), all.end(), 0);
  require(seen == all, "permute: the order ({}) does not hold each of the {} dims of {} once", fmt::join(order, ", "),
          shape.dims(), shape);
  return {order.begin(), order.end()};
}

void permute_into(Context& context, const Tensor& x, std::span<const int> order, const Destination& to) {
  const PermutePlan plan = plan_permute(x.shape(), order);
  with_floating(x.dtype(), "permute", [&](auto zero) {
    using T = decltype(zero);
    const auto beta = static_cast<Accum<T>>(to.beta());
    if (plan.same_inner) {
      launch_rows(context.stream(), {plan.rows, plan.y_inner},
                  kernels::PermuteRows<T>{x.data<T>(), to.tensor.data<T>(), plan.outer, plan.y_inner, beta});
    } else {
      constexpr int width = kernels::PermuteTiles<T>::width;
      launch_rows(context.stream(), {plan.rows * ceil_div(plan.x_inner, width), plan.y_inner * width},
                  kernels::PermuteTiles<T>{x.data<T>(), to.tensor.data<T>(), plan.outer, plan.x_inner, plan.y_inner,
                                           plan.x_stride, plan.y_stride, beta});
    }
  });
}

Shape permuted(const Shape& shape, std::span<const int> order) {
  std::vector<std::int64_t> extents;
  for (const int dim : order) extents.push_back(shape[dim]);
  return Shape(extents);
}

Shape concat_shape(std::span<const Value> inputs, int dim) {
  const Shape& first = inputs[0].shape();
  std::int64_t total = 0;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const Shape& shape = inputs[k].shape();
    require(shape.dims() == first.dims() && shape.with(dim, 0) == first.with(dim, 0),
            "concat: input {} is {}, which differs from input 0 {} outside dim {}", k, shape, first, dim);
    require(inputs[k].dtype() == inputs[0].dtype(), "concat: input {} is {}, but input 0 is {}", k,
            name_of(inputs[k].dtype()), name_of(inputs[0].dtype()));
    total = checked_add(total, shape[dim]);
  }
  return first.with(dim, total);
}

/// The rows of slice or concat: everything before `dim`, as a count of rows.
std::int64_t rows_before(const Shape& shape, int dim) {
  std::int64_t rows = 1;
  for (int k = 0; k < dim; ++k) rows *= shape[k];
  return rows;
}

}  // namespace

Value reshape(Context& context, const Value& x, const Shape& shape) {
  require(shape.elements() == x.elements(), "reshape: {} has {} elements, but {} wants {}", x.shape(), x.elements(),
          shape, shape.elements());
  return context.record({"reshape", {&x, 1}, [](Context&, Gradients& g) { g.hand_over(0, g.output()); }},
                        x.tensor().reshape(shape));
}

Value permute(Context& context, const Value& x, std::span<const int> order) {
  const std::vector<int> forward = checked_order(x.shape(), order);
  std::vector<int> inverse(forward.size());
  for (std::size_t k = 0; k < forward.size(); ++k) inverse[static_cast<std::size_t>(forward[k])] = static_cast<int>(k);
  const Tensor y = context.empty(permuted(x.shape(), order), x.dtype());
  permute_into(context, x.tensor(), forward, {y, Write::overwrite});
  return context.record({"permute",
                         {&x, 1},
                         [inverse](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           permute_into(c, dy, inverse, g.to(0));
                         }},
                        y);
}

Value transpose(Context& context, const Value& x) {
  const int dims = x.shape().dims();
  require(dims >= 2, "transpose: {} does not have two dims to exchange", x.shape());
  std::vector<int> order(to_size(dims));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  return permute(context, x, order);
}

Value concat(Context& context, std::span<const Value> inputs, int dim) {
  require(!inputs.empty(), "concat: there are no inputs to join");
  const int at = positive_dim("concat", dim, inputs[0].shape());
  const Shape shape = concat_shape(inputs, at);
  const Tensor y = context.empty(shape, inputs[0].dtype());
  const std::int64_t rows = rows_before(shape, at), stride = shape.elements_from(at);
  std::vector<Blocks> blocks;
  std::int64_t first = 0;
  for (const Value& input : inputs) {
    const std::int64_t count = input.shape().elements_from(at);
    blocks.push_back(
        {.rows = rows, .count = count, .x_stride = count, .x_first = 0, .y_stride = stride, .y_first = first});
    copy_blocks(context, input.tensor(), {y, Write::overwrite}, blocks.back());
    first += count;
  }
  return context.record({"concat", inputs,
                         [blocks](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           for (std::size_t k = 0; k < blocks.size(); ++k) {
                             if (!g.wanted(static_cast<int>(k))) continue;
                             const Blocks& b = blocks[k];
                             copy_blocks(c, dy, g.to(static_cast<int>(k)),
                                         {b.rows, b.count, b.y_stride, b.y_first, b.x_stride, b.x_first});
                           }
                         }},
                        y);
}

Value slice(Context& context, const Value& x, const Range& range) {
  const Shape& shape = x.shape();
  const int at = positive_dim("slice", range.dim, shape);
  require(range.first >= 0 && range.count >= 0 && range.first <= shape[at] && range.count <= shape[at] - range.first,
          "slice: elements [{}, {}) of dim {} of {} do not exist", range.first, range.first + range.count, at, shape);
  const std::int64_t inner = shape.elements_from(at + 1), rows = rows_before(shape, at);
  const Blocks blocks{.rows = rows,
                      .count = range.count * inner,
                      .x_stride = shape.elements_from(at),
                      .x_first = range.first * inner,
                      .y_stride = range.count * inner,
                      .y_first = 0};
  Tensor y;
  if (at == 0) {
    y = x.tensor().slice(range.first, range.count);
  } else {
    y = context.empty(shape.with(at, range.count), x.dtype());
    copy_blocks(context, x.tensor(), {y, Write::overwrite}, blocks);
  }
  return context.record(
      {"slice",
       {&x, 1},
       [blocks](Context& c, Gradients& g) {
         const Tensor dy = g.output();
         copy_blocks(c, dy, zeroed(c, g.to(0)),
                     {blocks.rows, blocks.count, blocks.y_stride, blocks.y_first, blocks.x_stride, blocks.x_first});
       }},
      y);
}

}  // namespace trireme::ops
