// Activation recomputation: the same numbers bit for bit, less kept in between, and what it refuses.
#include "core/tape/recompute.hpp"

#include <gtest/gtest.h>

#include "core/nn/arena.hpp"
#include "core/nn/layers.hpp"
#include "core/ops/dropout.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/reduce.hpp"

namespace trireme {
namespace {

/// Two residual layers with dropout, whose inner part may be recomputed.
struct RecomputedNet : Module {
  Linear first{16, {.activation = ops::Activation::gelu}}, second{16};
  bool again = false;
  bool declared = true;

  std::vector<Value> inner(Context& context, std::span<const Value> in) {
    const Value h =
        ops::dropout(context, first.forward(context, ops::add(context, in[0], in[1])), {.probability = 0.3});
    return {second.forward(context, h), in[0]};
  }
  Value forward(Context& context, const Value& x) override {
    const Value twice = ops::scale(context, x, 2), dropped = ops::dropout(context, x, {.probability = 0.2});
    const Value inputs[] = {twice, dropped};
    std::vector<Value> out;
    if (again) {
      std::vector<Parameter*> used;
      if (declared)
        for (const NamedParameter& one : parameters_of(*this)) used.push_back(one.parameter);
      out = recompute(context, {"inner", inputs, used},
                      [this](Context& c, std::span<const Value> in) { return inner(c, in); });
    } else {
      out = inner(context, inputs);
    }
    const Value y = ops::dropout(context, ops::add(context, out[0], out[1]), {.probability = 0.2});
    return ops::sum(context, ops::mul(context, y, y));
  }
  void parts(Visitor& visit) override {
    visit("first", first);
    visit("second", second);
  }
};

struct Result {
  double loss = 0;
  std::vector<double> parameters, input;
  std::size_t records = 0;
};

Result run(bool again, bool declared = true) {
  const Stream stream;
  StepAllocator memory{Device::cpu()};
  Context context{stream, memory};
  RecomputedNet net;
  net.declared = declared;
  const ArenaLayout layout = plan_arena(net, {.dtype = DType::f64}, [&](Context& c) {
    net.forward(c, Tensor::empty({5, 16}, DType::f64, Device::meta()));
  });
  net.again = again;
  const Planes planes = allocate_planes(layout, Device::cpu(), memory);
  materialize(net, layout, planes, 3);
  PlaneGradients gradients(layout, planes.grad);
  Tape tape(gradients);
  const StepState state{.step = 4, .random_seed = 9};
  gradients.begin();
  context.begin_training({.tape = &tape, .state = &state});
  std::vector<double> numbers;
  for (int k = 0; k < 80; ++k) numbers.push_back(0.1 * k - 3.7);
  const Value x = tape.watch(Tensor::from(numbers, {5, 16}));
  const Value loss = net.forward(context, x);
  Result out{.loss = loss.tensor().item(), .parameters = {}, .input = {}, .records = tape.records()};
  tape.backward(context, loss, 1);
  gradients.finish();
  out.parameters = planes.grad.to_vector<double>();
  out.input = tape.gradient_of(x).to_vector<double>();
  return out;
}

TEST(Recompute, GivesTheSameBitsWithFewerRecords) {
  const Result plain = run(false), again = run(true);
  EXPECT_EQ(plain.loss, again.loss);
  EXPECT_EQ(plain.parameters, again.parameters);
  EXPECT_EQ(plain.input, again.input);
  EXPECT_LT(again.records, plain.records);
}

TEST(Recompute, AnUndeclaredParameterIsNamed) {
  try {
    run(true, false);
    FAIL() << "a gradient would have been lost";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("second.weight"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace trireme
