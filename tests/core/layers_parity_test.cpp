// Recurrent and attention layers and Transformer blocks against torch.nn: the goldens in tests/golden/ops hold inputs,
// parameters, outputs and all gradients, computed in f64; f32 and f64 here must agree.
#include "core/nn/arena.hpp"
#include "core/nn/recurrent.hpp"
#include "core/nn/transformer.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/reduce.hpp"
#include "core/ops/shape_ops.hpp"
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

using Over = MultiHeadAttention::Over;

LayerCase attention(const std::string& name, Over over, const MultiHeadAttentionOptions& options) {
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

std::vector<LayerCase> cases() {
  using D = RecurrentLayerOptions::Directions;
  using N = TransformerOptions::Norms;
  return {
      recurrent("lstm", ops::Cell::lstm, D::forward),
      recurrent("lstm_both", ops::Cell::lstm, D::both),
      recurrent("gru", ops::Cell::gru, D::forward),
      recurrent("gru_both", ops::Cell::gru, D::both),
      attention("attention", Over::itself, {}),
      attention("attention_causal", Over::itself, {.mask = MultiHeadAttentionOptions::Mask::causal}),
      attention("attention_lengths", Over::itself, {}),
      attention("attention_relative", Over::itself, {.relative_distance = 2}),
      attention("attention_cross", Over::memory, {}),
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

INSTANTIATE_TEST_SUITE_P(Layers, LayerParity, testing::ValuesIn(cases()),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace trireme
