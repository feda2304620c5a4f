#include "core/ops/recurrent.hpp"

#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/recurrent_cpu.hpp"
#include "core/ops/reduce.hpp"
#include "core/tape/write.hpp"

namespace trireme::ops {
namespace {

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

/// An element has its gates from two products.
RowsShape rows_of(const RecurrentPass& pass) {
  return {.rows = pass.batch, .row_elements = pass.hidden, .work = 2 * pass.gates};
}

void run_steps(Context& context, const RecurrentPass& pass, const RecurrentSequences& of) {
  if (recurrent_cpu::suits(context, pass)) return recurrent_cpu::run_steps(context, pass, of);
  const Tensor recurrent = context.empty({pass.batch, pass.gates * pass.hidden}, pass.wide());
  for (std::int64_t step = 0; step < pass.time; ++step) {
    product_into(context,
                 {.a = pass.states.slice(step, 1),
                  .b = pass.weight_hh.get(),
                  .m = pass.batch,
                  .n = pass.gates * pass.hidden,
                  .k = pass.hidden,
                  .transpose_b = Transpose::yes},
                 {recurrent, Write::overwrite});
    with_floating(pass.dtype, "recurrent", [&](auto zero_of_type) {
      using T = decltype(zero_of_type);
      launch_rows(context.stream(), rows_of(pass),
                  forward_step<T>(pass, of, pass.steps(), {step, recurrent.data<Accum<T>>()}));
    });
  }
}

void run_back(Context& context, const RecurrentPass& pass, const RecurrentFlow& flow) {
  if (recurrent_cpu::suits(context, pass)) return recurrent_cpu::run_back(context, pass, flow);
  for (std::int64_t step = pass.time - 1; step >= 0; --step) {
    with_floating(pass.dtype, "recurrent", [&](auto zero_of_type) {
      using T = decltype(zero_of_type);
      launch_rows(context.stream(), rows_of(pass),
                  gradient_step<T>(pass, flow, pass.steps(), {step, flow.dh.data<Accum<T>>()}));
    });
    product_into(context,
                 {.a = flow.dstates.slice(step, 1),
                  .b = pass.weight_hh.get(),
                  .m = pass.batch,
                  .n = pass.hidden,
                  .k = pass.gates * pass.hidden},
                 {flow.dh, Write::overwrite});
  }
}

/// Takes the input into the order of the steps.
void to_steps(Context& context, const RecurrentPass& pass, const Tensor& x, const Tensor& steps) {
  with_floating(pass.dtype, "recurrent", [&](auto zero_of_type) {
    using T = decltype(zero_of_type);
    launch_rows(
        context.stream(), {.rows = pass.time * pass.batch, .row_elements = pass.inputs},
        kernels::SequenceToSteps<T>{
            .in = pass.steps(), .batch = pass.batch, .channels = pass.inputs, .x = x.data<T>(), .y = steps.data<T>()});
  });
}

/// Takes its gradient out of that order.
void from_steps(Context& context, const RecurrentPass& pass, const Tensor& steps, const Destination& to) {
  with_floating(pass.dtype, "recurrent", [&](auto zero_of_type) {
    using T = decltype(zero_of_type);
    launch_rows(context.stream(), {.rows = pass.time * pass.batch, .row_elements = pass.inputs},
                kernels::SequenceToSteps<T>{.in = pass.steps(),
                                            .batch = pass.batch,
                                            .channels = pass.inputs,
                                            .x = steps.data<T>(),
                                            .y = to.tensor.data<T>(),
                                            .back = 1,
                                            .beta = to.beta()});
  });
}

/// The places of the inputs in a record.
enum Input : int { x_input, weight_ih_input, bias_ih_input, weight_hh_input, bias_hh_input, hidden_input, cell_input };

void input_gradient(Context& context, Gradients& g, const RecurrentPass& pass, const Tensor& dinputs) {
  const std::int64_t rows = pass.time * pass.batch;
  const Tensor steps = context.empty({rows, pass.inputs}, pass.dtype);
  product_into(context,
               {.a = dinputs, .b = pass.weight_ih.get(), .m = rows, .n = pass.inputs, .k = pass.gates * pass.hidden},
               {steps, Write::overwrite});
  from_steps(context, pass, steps, g.to(x_input));
}

/// The gradient of a weight (gates H, n) and its bias: those of its products by its operands, over all steps.
void weight_gradient(Context& context, Gradients& g, const Product& p, std::pair<Input, Input> weight_bias) {
  const auto [weight, bias] = weight_bias;
  Product product = p;
  product.transpose_a = Transpose::yes;
  if (g.wanted(weight)) {
    if (g.wanted(bias)) product.sums_of_a = g.to_stored(bias);
    product_into(context, product, g.to_stored(weight));
  } else if (g.wanted(bias)) {
    column_sum_into(context, p.a.reshape({p.k, p.m}), g.to_stored(bias), 1);
  }
}

void gradient(Context& context, Gradients& g, const RecurrentPass& pass) {
  const Shape state{pass.batch, pass.hidden};
  const std::int64_t rows = pass.time * pass.batch, width = pass.gates * pass.hidden;
  const bool lstm = pass.options.cell == Cell::lstm;
  const auto gates = [&] { return lstm ? pass.kept : context.empty({pass.time, pass.batch, width}, pass.dtype); };
  const RecurrentFlow flow{.dh = context.empty(state, pass.wide()),
                           .carry = context.empty(state, pass.wide()),
                           .dc = context.empty(state, pass.wide()),
                           .dinputs = gates(),
                           .dstates = gates(),
                           .dy = g.output(0)};
  zero(context, flow.dh);
  set(context, g.arrived(1) ? g.output(1) : Tensor(), flow.carry);
  set(context, pass.cells && g.arrived(2) ? g.output(2) : Tensor(), flow.dc);
  if (!context.on_meta() && pass.batch > 0) run_back(context, pass, flow);
  if (g.wanted(x_input)) input_gradient(context, g, pass, flow.dinputs);
  weight_gradient(context, g, {.a = flow.dinputs, .b = pass.x, .m = width, .n = pass.inputs, .k = rows},
                  {weight_ih_input, bias_ih_input});
  weight_gradient(context, g,
                  {.a = flow.dstates, .b = pass.states.slice(0, pass.time), .m = width, .n = pass.hidden, .k = rows},
                  {weight_hh_input, bias_hh_input});
  if (g.wanted(hidden_input)) {
    const Destination first = g.to(hidden_input);
    write(context.stream(), {flow.dh}, first);
    write(context.stream(), {flow.carry}, {first.tensor, Write::accumulate});
  }
  if (g.wanted(cell_input)) write(context.stream(), {flow.dc}, g.to(cell_input));
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
  const Shape &x = in.x.shape(), &of_input = in.weight_ih.shape(), &weight = in.weight_hh.shape();
  const std::int64_t gates = options.cell == Cell::lstm ? 4 : 3;
  require(x.dims() == 3 && weight.dims() == 2 && weight[1] > 0 && weight[0] == gates * weight[1] &&
              of_input == Shape{weight[0], x[2]} && in.weight_hh.dtype() == in.x.dtype() &&
              in.weight_ih.dtype() == in.x.dtype(),
          "recurrent: the input is {} of {} and the weights {} of {} and {} of {}; wanted (B, T, C), ({} H, C) and ({} "
          "H, H) of one type",
          x, name_of(in.x.dtype()), of_input, name_of(in.weight_ih.dtype()), weight, name_of(in.weight_hh.dtype()),
          gates, gates);
  for (const Value* bias : {&in.bias_ih, &in.bias_hh})
    require(!bias->tensor() || (bias->shape() == Shape{weight[0]} && bias->dtype() == in.x.dtype()),
            "recurrent: a bias is {} of {}, wanted ({}) of {}", bias->shape(), name_of(bias->dtype()), weight[0],
            name_of(in.x.dtype()));
  const Shape state{x[0], weight[1]};
  for (const Value* one : {&in.hidden, &in.cell})
    require(!one->tensor() || (one->shape() == state && one->dtype() == in.x.dtype()),
            "recurrent: a first state is {} of {}, wanted {} of {}", one->shape(), name_of(one->dtype()), state,
            name_of(in.x.dtype()));
  require(options.cell == Cell::lstm || !in.cell.tensor(), "recurrent: a GRU has no cell to begin with");
  check_lengths(context, options.lengths, x);
}

struct LastState {
  Tensor hidden, cell;
};

/// The input's products over all steps, then the steps, then what they end with.
void forward(Context& context, const RecurrentPass& pass, const RecurrentInputs& in,
             const std::pair<Tensor, LastState>& outputs) {
  const auto& [y, last] = outputs;
  const Shape state{pass.batch, pass.hidden};
  const std::int64_t width = pass.gates * pass.hidden;
  const Tensor projected = pass.cells ? pass.kept : context.empty({pass.time, pass.batch, width}, pass.dtype);
  to_steps(context, pass, in.x.tensor(), pass.x);
  product_into(context,
               {.a = pass.x,
                .b = in.weight_ih.tensor(),
                .m = pass.time * pass.batch,
                .n = width,
                .k = pass.inputs,
                .transpose_b = Transpose::yes,
                .bias = in.bias_ih.tensor()},
               {projected, Write::overwrite});
  set(context, in.hidden.tensor(), pass.states.slice(0, 1).reshape(state));
  if (pass.cells) set(context, in.cell.tensor(), pass.cells.slice(0, 1).reshape(state));
  run_steps(context, pass, {projected, y});
  set(context, pass.states.slice(pass.time, 1).reshape(state), last.hidden);
  if (pass.cells) set(context, pass.cells.slice(pass.time, 1).reshape(state), last.cell);
}

}  // namespace

RecurrentResult recurrent(Context& context, const RecurrentInputs& in, const RecurrentOptions& options) {
  check(context, in, options);
  const Shape& x = in.x.shape();
  const std::int64_t batch = x[0], time = x[1], hidden = in.weight_hh.shape()[1];
  const bool lstm = options.cell == Cell::lstm;
  const DType dtype = in.x.dtype();
  const RecurrentPass pass{.weight_ih = Saved(in.weight_ih),
                           .weight_hh = Saved(in.weight_hh),
                           .bias_hh = Saved(in.bias_hh),
                           .options = options,
                           .batch = batch,
                           .time = time,
                           .inputs = x[2],
                           .hidden = hidden,
                           .gates = lstm ? 4 : 3,
                           .dtype = dtype,
                           .x = context.empty({time, batch, x[2]}, dtype),
                           .states = context.empty({time + 1, batch, hidden}, dtype),
                           .cells = lstm ? context.empty({time + 1, batch, hidden}, accum_dtype(dtype)) : Tensor(),
                           .kept = context.empty({time, batch, 4 * hidden}, dtype)};
  const Tensor y = context.empty({batch, time, hidden}, dtype);
  const Tensor last = context.empty({batch, hidden}, dtype), cell = context.empty({batch, hidden}, dtype);
  if (!context.on_meta() && batch > 0) forward(context, pass, in, {y, {last, cell}});
  const Value inputs[] = {in.x, in.weight_ih, in.bias_ih, in.weight_hh, in.bias_hh, in.hidden, in.cell};
  const Tensor outputs[] = {y, last, cell};
  auto values =
      context.record({"recurrent", inputs, [pass](Context& c, Gradients& g) { gradient(c, g, pass); }}, outputs);
  return {values[0], values[1], lstm ? values[2] : Value()};
}

}  // namespace trireme::ops
