#include "core/ops/recurrent.hpp"

#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/reduce.hpp"
#include "core/ops/repeated_product.hpp"
#include "core/tape/write.hpp"

namespace trireme::ops {
namespace {

/// What a pass keeps for its gradient. Step s makes state s + 1.
struct Pass {
  Saved weight, bias;
  RecurrentOptions options;
  std::int64_t batch, time, hidden, gates;
  DType dtype;
  Tensor states;  ///< (T + 1, B, H).
  Tensor cells;   ///< The same in the accumulating type; null for a GRU.
  Tensor kept;    ///< (T, B, 4 H).

  DType wide() const { return accum_dtype(dtype); }
  kernels::RecurrentSteps steps() const {
    return {.time = time,
            .hidden = hidden,
            .lengths = options.lengths ? options.lengths.data<std::int32_t>() : nullptr,
            .reverse = options.direction == RecurrentOptions::Direction::backward ? 1u : 0u,
            .cell = options.cell};
  }
  /// An element has its gates from two products.
  RowsShape rows() const { return {.rows = batch, .row_elements = hidden, .work = 2 * gates}; }
  template <class A>
  A* cell_of(std::int64_t step) const {
    return cells ? cells.slice(step, 1).data<A>() : nullptr;
  }
};

void zero(Context& context, const Tensor& x) {
  with_floating(x.dtype(), "recurrent", [&](auto zero_of_type) {
    using T = decltype(zero_of_type);
    launch_elements(context.stream(), x.elements(), kernels::Fill<T>{x.data<T>(), 0});
  });
}

/// A given value, or zeros.
void set(Context& context, const Tensor& from, const Tensor& to) {
  from ? write(context.stream(), {from}, {to, Write::overwrite}) : zero(context, to);
}

void run_steps(Context& context, const Pass& pass, const Tensor& projected, const Tensor& y) {
  const Tensor recurrent = context.empty({pass.batch, pass.gates * pass.hidden}, pass.wide());
  const RepeatedProduct by_weight(context,
                                  {.a = {},
                                   .b = pass.weight.get(),
                                   .m = pass.batch,
                                   .n = pass.gates * pass.hidden,
                                   .k = pass.hidden,
                                   .transpose_b = Transpose::yes},
                                  pass.time);
  for (std::int64_t step = 0; step < pass.time; ++step) {
    const Tensor state = pass.states.slice(step, 1);
    by_weight(state, recurrent);
    with_floating(pass.dtype, "recurrent", [&](auto zero_of_type) {
      using T = decltype(zero_of_type);
      using A = Accum<T>;
      launch_rows(context.stream(), pass.rows(),
                  kernels::RecurrentForward<T>{.in = pass.steps(),
                                               .step = step,
                                               .projected = projected.data<T>(),
                                               .recurrent = recurrent.data<A>(),
                                               .bias = pass.bias.get() ? pass.bias.get().template data<T>() : nullptr,
                                               .h_before = state.data<T>(),
                                               .c_before = pass.cell_of<A>(step),
                                               .h_after = pass.states.slice(step + 1, 1).template data<T>(),
                                               .c_after = pass.cell_of<A>(step + 1),
                                               .kept = pass.kept.slice(step, 1).template data<T>(),
                                               .y = y.data<T>()});
    });
  }
}

/// The gradients on their way from step to step.
struct Flow {
  Tensor dh, carry, dc;  ///< (B, H) in the accumulating type.
  Tensor dstates;        ///< (T, B, gates H).
};

void run_back(Context& context, const Pass& pass, const Flow& flow, const std::pair<Tensor, Destination>& dy_to) {
  const auto& [dy, to] = dy_to;
  const RepeatedProduct by_weight(
      context, {.a = {}, .b = pass.weight.get(), .m = pass.batch, .n = pass.hidden, .k = pass.gates * pass.hidden},
      pass.time);
  for (std::int64_t step = pass.time - 1; step >= 0; --step) {
    const Tensor dstate = flow.dstates.slice(step, 1);
    with_floating(pass.dtype, "recurrent", [&, &dy = dy, &to = to](auto zero_of_type) {
      using T = decltype(zero_of_type);
      using A = Accum<T>;
      launch_rows(context.stream(), pass.rows(),
                  kernels::RecurrentGradient<T>{.in = pass.steps(),
                                                .step = step,
                                                .kept = pass.kept.slice(step, 1).template data<T>(),
                                                .h_before = pass.states.slice(step, 1).template data<T>(),
                                                .c_before = pass.cell_of<A>(step),
                                                .c_after = pass.cell_of<A>(step + 1),
                                                .dy = dy.data<T>(),
                                                .dh = flow.dh.data<A>(),
                                                .carry = flow.carry.data<A>(),
                                                .dc = flow.dc.data<A>(),
                                                .dprojected = to.tensor.data<T>(),
                                                .dstate = dstate.data<T>(),
                                                .beta = to.beta()});
    });
    by_weight(dstate, flow.dh);
  }
}

/// Inputs: projected, weight, bias, hidden, cell; outputs: y, hidden, cell.
void gradient(Context& context, Gradients& g, const Pass& pass) {
  const Shape state{pass.batch, pass.hidden};
  const Flow flow{context.empty(state, pass.wide()), context.empty(state, pass.wide()),
                  context.empty(state, pass.wide()),
                  context.empty({pass.time, pass.batch, pass.gates * pass.hidden}, pass.dtype)};
  zero(context, flow.dh);
  set(context, g.arrived(1) ? g.output(1) : Tensor(), flow.carry);
  set(context, pass.cells && g.arrived(2) ? g.output(2) : Tensor(), flow.dc);
  const Tensor dy = g.output(0);
  const Destination to =
      g.wanted(0) ? g.to(0) : Destination{context.empty({pass.batch, pass.time, pass.gates * pass.hidden}, pass.dtype)};
  if (!context.on_meta() && pass.batch > 0) run_back(context, pass, flow, {dy, to});
  const std::int64_t rows = pass.time * pass.batch, width = pass.gates * pass.hidden;
  if (g.wanted(1))
    product_into(context,
                 {.a = flow.dstates,
                  .b = pass.states.slice(0, pass.time),
                  .m = width,
                  .n = pass.hidden,
                  .k = rows,
                  .transpose_a = Transpose::yes},
                 g.to_stored(1));
  if (g.wanted(2)) column_sum_into(context, flow.dstates.reshape({rows, width}), g.to_stored(2), 1);
  if (g.wanted(3)) {
    const Destination first = g.to(3);
    write(context.stream(), {flow.dh}, first);
    write(context.stream(), {flow.carry}, {first.tensor, Write::accumulate});
  }
  if (g.wanted(4)) write(context.stream(), {flow.dc}, g.to(4));
}

void check_lengths(Context& context, const Tensor& lengths, const Shape& x) {
  if (!lengths) return;
  require(lengths.shape() == Shape{x[0]} && lengths.dtype() == DType::i32,
          "recurrent: the lengths are {} of {}, wanted ({}) of i32", lengths.shape(), name_of(lengths.dtype()), x[0]);
  context.require_here("recurrent", "lengths", lengths);
  if (lengths.device().kind != Device::Kind::cpu) return;
  for (const std::int32_t n : lengths.span<std::int32_t>())
    if (n < 0 || n > x[1])
      fail(ExitCode::corrupt_input, "recurrent: a sample of {} times in sequences of {}; check its lengths", n, x[1]);
}

void check(Context& context, const RecurrentInputs& in, const RecurrentOptions& options) {
  const Shape &x = in.projected.shape(), &weight = in.weight.shape();
  const std::int64_t gates = options.cell == Cell::lstm ? 4 : 3;
  require(
      x.dims() == 3 && weight.dims() == 2 && weight[1] > 0 && weight[0] == gates * weight[1] && x[2] == weight[0] &&
          in.weight.dtype() == in.projected.dtype(),
      "recurrent: the projected input is {} of {} and the weight {} of {}; wanted (B, T, {} H) and ({} H, H) of one "
      "type",
      x, name_of(in.projected.dtype()), weight, name_of(in.weight.dtype()), gates, gates);
  require(!in.bias.tensor() || in.bias.shape() == Shape{weight[0]}, "recurrent: the bias is {}, wanted ({})",
          in.bias.shape(), weight[0]);
  const Shape state{x[0], weight[1]};
  for (const Value* one : {&in.hidden, &in.cell})
    require(!one->tensor() || (one->shape() == state && one->dtype() == in.projected.dtype()),
            "recurrent: a first state is {} of {}, wanted {} of {}", one->shape(), name_of(one->dtype()), state,
            name_of(in.projected.dtype()));
  require(options.cell == Cell::lstm || !in.cell.tensor(), "recurrent: a GRU has no cell to begin with");
  check_lengths(context, options.lengths, x);
}

}  // namespace

RecurrentResult recurrent(Context& context, const RecurrentInputs& in, const RecurrentOptions& options) {
  check(context, in, options);
  const Shape& x = in.projected.shape();
  const std::int64_t batch = x[0], time = x[1], hidden = in.weight.shape()[1];
  const bool lstm = options.cell == Cell::lstm;
  const DType dtype = in.projected.dtype();
  const Pass pass{.weight = Saved(in.weight),
                  .bias = Saved(in.bias),
                  .options = options,
                  .batch = batch,
                  .time = time,
                  .hidden = hidden,
                  .gates = lstm ? 4 : 3,
                  .dtype = dtype,
                  .states = context.empty({time + 1, batch, hidden}, dtype),
                  .cells = lstm ? context.empty({time + 1, batch, hidden}, accum_dtype(dtype)) : Tensor(),
                  .kept = context.empty({time, batch, 4 * hidden}, dtype)};
  const Tensor y = context.empty({batch, time, hidden}, dtype);
  const Tensor last = context.empty({batch, hidden}, dtype), cell = context.empty({batch, hidden}, dtype);
  if (!context.on_meta() && batch > 0) {
    set(context, in.hidden.tensor(), pass.states.slice(0, 1).reshape({batch, hidden}));
    if (lstm) set(context, in.cell.tensor(), pass.cells.slice(0, 1).reshape({batch, hidden}));
    run_steps(context, pass, in.projected.tensor(), y);
    set(context, pass.states.slice(time, 1).reshape({batch, hidden}), last);
    if (lstm) set(context, pass.cells.slice(time, 1).reshape({batch, hidden}), cell);
  }
  const Value inputs[] = {in.projected, in.weight, in.bias, in.hidden, in.cell};
  const Tensor outputs[] = {y, last, cell};
  auto values =
      context.record({"recurrent", inputs, [pass](Context& c, Gradients& g) { gradient(c, g, pass); }}, outputs);
  return {values[0], values[1], lstm ? values[2] : Value()};
}

}  // namespace trireme::ops
