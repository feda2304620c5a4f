// The tape, the arena and the gradient store: order of records, destinations written once, parameters that are tied,
// frozen or unused, weights independent of how they are cut.
#include "core/tape/tape.hpp"

#include <gtest/gtest.h>

#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/nn/arena.hpp"
#include "tests/support/messages.hpp"

namespace trireme {
namespace {

using kernels::AddScaled;

/// y = factor * x, with a gradient function that follows the destination rules.
Value scaled(Context& context, const Value& x, double factor) {
  const Tensor y = context.empty(x.shape(), x.dtype());
  launch_elements(context.stream(), y.elements(),
                  AddScaled<double>{x.tensor().data<double>(), y.data<double>(), factor, 0});
  return context.record({"scaled",
                         {{x}},
                         [factor](Context& c, Gradients& g) {
                           const Tensor dy = g.output();
                           const Destination to = g.to(0);
                           launch_elements(c.stream(), dy.elements(),
                                           AddScaled<double>{dy.data<double>(), to.tensor.data<double>(), factor,
                                                             static_cast<double>(to.beta())});
                         }},
                        y);
}

/// y = a + b; hands the gradient itself to a and a copy to b.
Value sum(Context& context, const Value& a, const Value& b) {
  const Tensor y = a.tensor().clone();
  launch_elements(context.stream(), y.elements(), AddScaled<double>{b.tensor().data<double>(), y.data<double>(), 1, 1});
  const Value inputs[] = {a, b};
  return context.record({"sum", inputs,
                         [](Context&, Gradients& g) {
                           if (g.wanted(1)) g.hand_over(1, g.output().clone());
                           if (g.wanted(0)) g.hand_over(0, g.output());
                         }},
                        y);
}

struct TapeNet : Module {
  Parameter a{{2}, Initializer::normal(1)};
  Parameter b{{3}, Initializer::kaiming_uniform(3)};
  Parameter unused{{4}, Initializer::ones()};
  State count{{1}, 7};
  Value forward(Context&, const Value& x) override { return x; }
  void parts(Visitor& visit) override {
    visit("unused", unused);
    visit("b", b);
    visit("a", a);
    visit("tied", a);
    visit("count", count);
  }
};

class TapeTest : public testing::Test {
 protected:
  Stream stream;
  StepAllocator memory{Device::cpu()};
  Context context{stream, memory};
  TapeNet net;
  ArenaLayout layout = plan_arena(net, {.dtype = DType::f64}, [&](Context& c) {
    c.use(net.a);
    c.use(net.b);
  });
  Planes planes = allocate_planes(layout, Device::cpu(), memory);
  PlaneGradients gradients{layout, planes.grad};
  Tape tape{gradients};

  void SetUp() override {
    materialize(net, layout, planes, 42);
    context.begin_training({.tape = &tape});
    gradients.begin();
  }
  std::vector<double> gradient_of(const Parameter& p) {
    return gradients.gradient(static_cast<std::size_t>(p.index())).to_vector<double>();
  }
};

TEST_F(TapeTest, ADiamondAddsUp) {
  const Value x = tape.watch(Tensor::from<double>({1, 2}, {2}));
  const Value y = sum(context, scaled(context, x, 3), sum(context, scaled(context, x, 5), x));
  tape.backward(context, y, 1);
  EXPECT_EQ(tape.gradient_of(x).to_vector<double>(), (std::vector<double>{9, 9}));
  EXPECT_EQ(tape.records(), 0u);
}

/// Gradient functions consume what they saved: what a failed pass left would give other numbers.
TEST_F(TapeTest, ABackwardThatFailedCannotGoOn) {
  const Value x = tape.watch(Tensor::from<double>({1, 2}, {2}));
  const Value h = scaled(context, x, 3);
  bool fails = true;
  const Value y = context.record({"failing",
                                  {{h}},
                                  [&fails](Context&, Gradients& g) {
                                    if (fails) fail(ExitCode::failure, "no memory left");
                                    g.hand_over(0, g.output());
                                  }},
                                 h.tensor().clone());
  EXPECT_EQ(message_of([&] { tape.backward(context, y, 1); }), "no memory left");
  EXPECT_EQ(tape.records(), 0u);
  fails = false;
  EXPECT_EQ(message_of([&] { tape.backward(context, y, 1); }),
            "backward: the records of this value are gone, after clear() or a backward that failed; run forward again");
}

TEST_F(TapeTest, TheSameValueOnBothSidesOfASumIsNotAliased) {
  const Value x = tape.watch(Tensor::from<double>({1, 2}, {2}));
  const Value h = scaled(context, x, 2);
  tape.backward(context, sum(context, h, h), 1);
  EXPECT_EQ(tape.gradient_of(x).to_vector<double>(), (std::vector<double>{4, 4}));
}

TEST_F(TapeTest, AParameterUsedTwiceOverwritesThenAdds) {
  planes.grad.span<double>()[0] = 1e9;  // stale from an earlier step: must be overwritten
  const Value y = sum(context, scaled(context, context.use(net.a), 3), scaled(context, context.use(net.a), 4));
  tape.backward(context, y, 2);
  gradients.finish();
  EXPECT_EQ(gradient_of(net.a), (std::vector<double>{14, 14}));
  EXPECT_EQ(gradient_of(net.unused), (std::vector<double>(4, 0.0)));
}

TEST_F(TapeTest, ABranchNobodyUsesGivesZeroAndIsReported) {
  struct Watch : PlaneGradients {
    using PlaneGradients::PlaneGradients;
    std::vector<std::string> done;
    void ready(Parameter& p) override { done.push_back(p.name()); }
  } store(layout, planes.grad);
  Tape watched(store);
  context.begin_training({.tape = &watched});
  store.begin();
  scaled(context, context.use(net.b), 2);  // dead end
  const Value y = scaled(context, context.use(net.a), 2);
  planes.grad.span<double>()[8] = 5;
  watched.backward(context, y, 1);
  store.finish();
  EXPECT_EQ(store.done, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(store.touched(static_cast<std::size_t>(net.b.index())));
  for (const double g : store.gradient(static_cast<std::size_t>(net.b.index())).to_vector<double>()) EXPECT_EQ(g, 0);
}

TEST_F(TapeTest, ChangingASavedTensorInPlaceIsAnError) {
  const Tensor x = Tensor::from<double>({1}, {1});
  const Saved saved{Value(x)};
  saved.get();
  x.fill_zero();
  EXPECT_THROW(saved.get(), Error);
}

TEST_F(TapeTest, WithoutATapeNothingIsRecorded) {
  context.begin_eval();
  EXPECT_FALSE(scaled(context, context.use(net.a), 2).needs_gradient());
  EXPECT_EQ(tape.records(), 0u);
}

TEST_F(TapeTest, LayoutFollowsFirstUseAndKnowsTies) {
  ASSERT_EQ(layout.entries().size(), 3u);
  EXPECT_EQ(layout.entries()[0].name, "a");
  EXPECT_EQ(layout.entries()[0].aliases, (std::vector<std::string>{"tied"}));
  EXPECT_EQ(layout.entries()[1].name, "b");
  EXPECT_EQ(layout.entries()[2].name, "unused");
  for (const ArenaEntry& entry : layout.entries()) EXPECT_EQ(entry.offset % 16, 0);  // 128 bytes of f64
  EXPECT_EQ(layout.parameters(), 9);
  EXPECT_EQ(net.count.value().item(), 7);
}

TEST_F(TapeTest, FrozenParametersLeaveThePlan) {
  net.a.set_training(Training::frozen);
  const ArenaLayout frozen = plan_arena(net, {.dtype = DType::f64}, [&](Context& c) { c.use(net.a); });
  EXPECT_EQ(frozen.trained(), 2u);
  EXPECT_EQ(frozen.entries().back().name, "a");
  EXPECT_LT(frozen.trained_elements(), frozen.elements());
  const Planes other = allocate_planes(frozen, Device::cpu(), memory);
  materialize(net, frozen, other, 42);
  EXPECT_FALSE(context.use(net.a).needs_gradient());
}

TEST_F(TapeTest, FirstValuesDependOnNameAndIndexOnly) {
  const std::vector<double> a = net.a.value().to_vector<double>();
  const ArenaLayout wide = plan_arena(net, {.dtype = DType::f64, .shards = 3}, [&](Context& c) { c.use(net.b); });
  const Planes other = allocate_planes(wide, Device::cpu(), memory);
  materialize(net, wide, other, 42);
  EXPECT_EQ(net.a.value().to_vector<double>(), a);
  double piece[1];
  draw(wide.entries()[static_cast<std::size_t>(net.a.index())], 42, 1, piece);
  EXPECT_EQ(piece[0], a[1]);
  materialize(net, wide, other, 43);
  EXPECT_NE(net.a.value().to_vector<double>(), a);
}

TEST_F(TapeTest, AParameterThatPartsForgotIsNamedAtPlanning) {
  Parameter stray{{2}, Initializer::zeros()};
  EXPECT_THROW(plan_arena(net, {}, [&](Context& c) { c.use(stray); }), Error);
}

TEST(Parameter, UseBeforeMaterialisationIsAnError) {
  const Parameter p{{2}, Initializer::zeros()};
  EXPECT_THROW(p.value(), Error);
}

}  // namespace
}  // namespace trireme
