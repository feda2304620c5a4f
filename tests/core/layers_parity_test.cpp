// Recurrent and attention layers and Transformer blocks against torch.nn: the goldens in tests/golden/ops hold inputs,
// parameters, outputs and all gradients, computed in f64; f32 and f64 here must agree.
#include "core/nn/arena.hpp"
#include "core/nn/recurrent.hpp"
#include "core/nn/transformer.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/reduce.hpp"
#include "core/ops/shape_ops.hpp"
#include "core/optim/optimizer.hpp"
#include "tests/core/golden.hpp"

namespace trireme {
namespace {

struct Given {
  std::vector<Value> x;
  std::vector<Tensor> i;
};

struct LayerCase {
  std::string name;
  std::function<std::unique_ptr<Module>()> make;
  std::function<Value(Context&, Module&, const Given&)> run;
  friend std::ostream& operator<<(std::ostream& out, const LayerCase& c) { return out << c.name; }
};

/// Parts of (layers, B, H), as values of (B, H).
std::vector<Value> states(Context& context, const Value& x) {
  std::vector<Value> out;
  for (std::int64_t k = 0; k < x.shape()[0]; ++k)
    out.push_back(ops::reshape(context, ops::slice(context, x, {.dim = 0, .first = k, .count = 1}), x.shape().tail()));
  return out;
}

LayerCase recurrent(const std::string& name, ops::Cell cell, RecurrentLayerOptions::Directions directions) {
  return {name,
          [=] {
            return std::make_unique<Recurrent>(cell, 5, RecurrentLayerOptions{.layers = 2, .directions = directions});
          },
          [](Context& c, Module& module, const Given& g) {
            RecurrentInput input{.lengths = g.i[0]};
            if (g.x.size() > 1) input.hidden = states(c, g.x[1]);
            if (g.x.size() > 2) input.cell = states(c, g.x[2]);
            const RecurrentOutput out = static_cast<Recurrent&>(module).apply(c, g.x[0], input);
            const Shape& s = out.y.shape();
            std::vector<Value> all{ops::reshape(c, out.y, {s[0], s[1] * s[2]})};
            all.insert(all.end(), out.hidden.begin(), out.hidden.end());
            all.insert(all.end(), out.cell.begin(), out.cell.end());
            return ops::concat(c, all, -1);
          }};
}

using AttentionOver = MultiHeadAttention::Over;

LayerCase attention(const std::string& name, AttentionOver over, const MultiHeadAttentionOptions& options) {
  return {name, [=] { return std::make_unique<MultiHeadAttention>(2, over, options); },
          [](Context& c, Module& module, const Given& g) {
            MultiHeadAttention::Keys keys;
            if (g.x.size() > 1) keys.memory = g.x[1];
            if (!g.i.empty()) keys.lengths = g.i[0];
            return static_cast<MultiHeadAttention&>(module).apply(c, g.x[0], keys);
          }};
}

LayerCase encoder(const std::string& name, TransformerOptions::Norms norms) {
  return {name,
          [=] {
            return std::make_unique<EncoderBlock>(
                TransformerOptions{.heads = 2, .inner = 12, .activation = ops::Activation::gelu, .norms = norms});
          },
          [](Context& c, Module& module, const Given& g) {
            return static_cast<EncoderBlock&>(module).apply(c, g.x[0], g.i[0]);
          }};
}

std::vector<LayerCase> layer_cases() {
  using D = RecurrentLayerOptions::Directions;
  using N = TransformerOptions::Norms;
  return {
      recurrent("lstm", ops::Cell::lstm, D::forward),
      recurrent("lstm_both", ops::Cell::lstm, D::both),
      recurrent("gru", ops::Cell::gru, D::forward),
      recurrent("gru_both", ops::Cell::gru, D::both),
      attention("attention", AttentionOver::itself, {}),
      attention("attention_causal", AttentionOver::itself, {.mask = MultiHeadAttentionOptions::Mask::causal}),
      attention("attention_lengths", AttentionOver::itself, {}),
      attention("attention_relative", AttentionOver::itself, {.relative_distance = 2}),
      attention("attention_cross", AttentionOver::memory, {}),
      encoder("encoder_block", N::after),
      encoder("encoder_block_before", N::before),
      {"transformer",
       [] {
         return std::make_unique<Transformer>(
             TransformerOptions{.heads = 2, .inner = 12, .norms = N::before, .layers = 2});
       },
       [](Context& c, Module& module, const Given& g) {
         return static_cast<Transformer&>(module).apply(c, {g.x[0], g.x[1], g.i[0]});
       }},
  };
}

class LayerParity : public testing::TestWithParam<LayerCase> {
 protected:
  const Golden golden{"layers"};
  const std::string base = GetParam().name + "/";

  Given given(Tape* tape, DType dtype) const {
    Given out;
    for (int k = 0; golden.has(base + "x" + std::to_string(k)); ++k) {
      const Tensor x = golden.tensor(base + "x" + std::to_string(k), dtype);
      out.x.push_back(tape ? tape->watch(x) : Value(Tensor::empty(x.shape(), dtype, Device::meta())));
    }
    for (int k = 0; golden.has(base + "i" + std::to_string(k)); ++k) {
      const Tensor i = golden.tensor(base + "i" + std::to_string(k));
      out.i.push_back(tape ? i : Tensor::empty(i.shape(), i.dtype(), Device::meta()));
    }
    return out;
  }
};

TEST_P(LayerParity, OutputAndEveryGradientAreThoseOfPyTorch) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    SCOPED_TRACE(name_of(dtype));
    const std::unique_ptr<Module> module = GetParam().make();
    const ArenaLayout layout = plan_arena(*module, {.dtype = dtype},
                                          [&](Context& meta) { GetParam().run(meta, *module, given(nullptr, dtype)); });
    const Stream stream;
    StepAllocator memory{Device::cpu()};
    const Planes planes = allocate_planes(layout, Device::cpu(), memory);
    materialize(*module, layout, planes, 1);
    for (const ArenaEntry& entry : layout.entries())
      planes.param.slice(entry.offset, entry.count).copy_from(golden.tensor(base + "p/" + entry.name, dtype));
    PlaneGradients store(layout, planes.grad);
    Tape tape(store);
    Context context(stream, memory);
    const StepState state;
    store.begin();
    context.begin_training({.tape = &tape, .state = &state});
    const Given in = given(&tape, dtype);
    const Value y = GetParam().run(context, *module, in);
    EXPECT_LE(apart(y.tensor(), golden.tensor(base + "y")), golden_tolerance);
    tape.backward(context, ops::sum(context, ops::mul(context, y, golden.tensor(base + "w", dtype))), 1);
    store.finish();
    for (std::size_t k = 0; k < in.x.size(); ++k)
      EXPECT_LE(apart(tape.gradient_of(in.x[k]), golden.tensor(base + "g" + std::to_string(k))), golden_tolerance)
          << "input " << k;
    for (std::size_t k = 0; k < layout.entries().size(); ++k) {
      const std::string& name = layout.entries()[k].name;
      EXPECT_LE(apart(store.gradient(k), golden.tensor(base + "q/" + name)), golden_tolerance) << name;
    }
  }
}

/// An LSTM with a dense layer on its last output.
struct Classifier : Module {
  Lstm lstm{6};
  Linear head{3};
  Value forward(Context& context, const Value& x) override {
    const Value y = lstm.forward(context, x);
    const Value last = ops::slice(context, y, {.dim = 1, .first = y.shape()[1] - 1, .count = 1});
    return head.forward(context, ops::reshape(context, last, {y.shape()[0], y.shape()[2]}));
  }
  void parts(Visitor& visit) override {
    visit("lstm", lstm);
    visit("head", head);
  }
};

TEST(TrainingParity, TenStepsOfAnLstmAreThoseOfPyTorch) {
  const Golden golden("layers");
  for (const DType dtype : {DType::f32, DType::f64}) {
    Classifier model;
    const Tensor x = golden.tensor("training/x", dtype), labels = golden.tensor("training/labels");
    const ArenaLayout layout = plan_arena(model, {.dtype = dtype}, [&](Context& meta) {
      model.forward(meta, Tensor::empty(x.shape(), dtype, Device::meta()));
    });
    const Stream stream;
    StepAllocator memory{Device::cpu()};
    const Planes planes = allocate_planes(layout, Device::cpu(), memory);
    materialize(model, layout, planes, 1);
    const auto values_of = [&](const ArenaEntry& entry) { return planes.param.slice(entry.offset, entry.count); };
    for (const ArenaEntry& entry : layout.entries())
      values_of(entry).copy_from(golden.tensor("training/p/" + entry.name, dtype));
    Optimizer optimizer({.kind = OptimizerOptions::Kind::sgd}, layout, planes);
    PlaneGradients store(layout, planes.grad);
    Tape tape(store);
    Context context(stream, memory);
    StepState state{.rate = 0.2};
    for (const double wanted : doubles_of(golden.tensor("training/losses"))) {
      store.begin();
      context.begin_training({.tape = &tape, .state = &state});
      const auto result = ops::cross_entropy(context, model.forward(context, x), labels);
      EXPECT_NEAR(result.loss_sum() / 6, wanted, golden_tolerance * wanted) << "step " << state.step;
      tape.backward(context, result.loss, 1.0 / 6);
      store.finish();
      optimizer.step(stream, &state);
      ++state.step;
    }
    for (const ArenaEntry& entry : layout.entries())
      EXPECT_LE(apart(values_of(entry), golden.tensor("training/after/" + entry.name)), golden_tolerance) << entry.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, LayerParity, testing::ValuesIn(layer_cases()),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace trireme
