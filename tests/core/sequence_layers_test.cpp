// What users of the further layers rely on: shapes and names, padding that has no influence, dropout in training only,
// states that carry a sequence over its parts, and refusals.
#include <gtest/gtest.h>

#include "core/nn/arena.hpp"
#include "core/nn/embedding.hpp"
#include "core/nn/image_layers.hpp"
#include "core/nn/recurrent.hpp"
#include "core/nn/transformer.hpp"
#include "core/ops/shape_ops.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

/// A layer with its parameters, run by `run` on a batch.
template <class Layer>
struct Ready {
  using Run = std::function<Value(Context&, Layer&, const Value&)>;
  Ready(Layer made, const Shape& shape, Run how) : layer(std::move(made)), run(std::move(how)) {
    layout = plan_arena(layer, {},
                        [&](Context& meta) { run(meta, layer, Tensor::empty(shape, DType::f32, Device::meta())); });
    planes = allocate_planes(layout, Device::cpu(), system_allocator(Device::cpu()));
    materialize(layer, layout, planes, 5);
  }
  Value operator()(const Tensor& x) { return run(context, layer, x); }

  Layer layer;
  Run run;
  ArenaLayout layout;
  Planes planes;
  Stream stream;
  Context context{stream, system_allocator(Device::cpu())};
};

template <class Layer>
Value plain(Context& c, Layer& layer, const Value& x) {
  return layer.forward(c, x);
}

Tensor random(const Shape& shape, unsigned seed) {
  return Tensor::from(test::as<float>(test::normal_values(shape.elements(), seed)), shape);
}

void expect_same(const Value& got, const Value& want) {
  const auto values = want.tensor().to_vector<float>();
  test::expect_near(got.tensor().to_vector<float>(), test::Values(values.begin(), values.end()), 1e-6, "outputs");
}

std::vector<std::string> names_of(const ArenaLayout& layout) {
  std::vector<std::string> out;
  for (const ArenaEntry& entry : layout.entries()) out.push_back(entry.name);
  return out;
}

TEST(ImageLayers, HaveTheShapesTheySay) {
  Sequential layers(ConvTranspose2d(6, {.kernel = 3, .stride = 2, .padding = 1, .output_padding = 1, .groups = 2}),
                    GroupNorm(3), LeakyRelu(0.1), Pad2d({.top = 1, .right = 2, .mode = ops::PadMode::circular}),
                    Upsample(3, ops::Interpolation::bicubic), Softplus(), Conv2d(8, {.dilation = 2}), PixelShuffle(2),
                    InstanceNorm(InstanceNorm::Affine::yes), Silu());
  const Shape shape{2, 4, 5, 4};
  Ready<Sequential> ready(std::move(layers), shape, plain<Sequential>);
  // 4 x 5 -> 8 x 10 -> 9 x 12 -> 27 x 36 -> 23 x 32 -> 46 x 64
  EXPECT_EQ(ready(random(shape, 1)).shape(), (Shape{2, 46, 64, 2}));
  EXPECT_EQ(names_of(ready.layout), (std::vector<std::string>{"0.weight", "0.bias", "1.gain", "1.bias", "6.weight",
                                                              "6.bias", "8.gain", "8.bias"}));
}

TEST(Embedding, GivesTheRowsOfItsTablesAndNamesWhatIsNotThere) {
  Embedding layer({.vocabulary = 5, .width = 3}, {.positions = 4});
  const ArenaLayout layout = plan_arena(layer, {}, [&](Context& meta) {
    layer.forward(meta, Tensor::empty({2, 2}, DType::i32, Device::meta()));
  });
  const Planes planes = allocate_planes(layout, Device::cpu(), system_allocator(Device::cpu()));
  materialize(layer, layout, planes, 5);
  EXPECT_EQ(names_of(layout), (std::vector<std::string>{"weight", "positions"}));
  const Stream stream;
  Context context(stream, system_allocator(Device::cpu()));
  const auto of = [&](std::size_t entry, std::int64_t row, std::int64_t c) {
    return planes.param.span<float>()[static_cast<std::size_t>(layout.entries()[entry].offset + row * 3 + c)];
  };
  const std::vector<std::int32_t> ids{4, 0, 1, 4};
  const auto y = layer.forward(context, Tensor::from(ids, {2, 2})).tensor().to_vector<float>();
  for (std::size_t k = 0; k < y.size(); ++k) {
    const std::size_t token = k / 3;
    const auto c = static_cast<std::int64_t>(k % 3);
    EXPECT_EQ(y[k], of(0, ids[token], c) + of(1, static_cast<std::int64_t>(token % 2), c)) << k;
  }
  EXPECT_THROW(layer.forward(context, Tensor::from(std::vector<std::int32_t>{5}, {1, 1})), Error);
  EXPECT_THROW(Embedding({.vocabulary = 0, .width = 3}), Error);
}

TEST(Recurrent, ASequenceInTwoPartsIsTheWhole) {
  for (const ops::Cell cell : {ops::Cell::lstm, ops::Cell::gru}) {
    const Shape shape{2, 5, 3};
    Ready<Recurrent> ready(Recurrent(cell, 4, {.layers = 2}), shape, plain<Recurrent>);
    Context& c = ready.context;
    const Value x(random(shape, 2));
    const RecurrentOutput whole = ready.layer.apply(c, x, {});
    const auto part = [&](std::int64_t first, std::int64_t count) {
      return ops::slice(c, x, {.dim = 1, .first = first, .count = count});
    };
    const RecurrentOutput first = ready.layer.apply(c, part(0, 2), {});
    const RecurrentOutput second = ready.layer.apply(c, part(2, 3), {.hidden = first.hidden, .cell = first.cell});
    expect_same(ops::concat(c, std::vector<Value>{first.y, second.y}, 1), whole.y);
  }
}

TEST(Recurrent, WhatStandsBehindASampleHasNoInfluence) {
  const Shape shape{2, 4, 3};
  const Tensor lengths = Tensor::from(std::vector<std::int32_t>{2, 4}, {2});
  const auto run = [&](Context& c, Recurrent& layer, const Value& x) {
    return layer.apply(c, x, {.lengths = c.on_meta() ? Tensor() : lengths}).y;
  };
  Ready<Recurrent> ready(Lstm(3, {.directions = RecurrentLayerOptions::Directions::both}), shape, run);
  const Tensor x = random(shape, 3), other = x.clone();
  for (std::size_t k = 2 * 3; k < 4 * 3; ++k) other.span<float>()[k] = 100;  // times 2 and 3 of sample 0
  expect_same(ready(other), ready(x));
}

TEST(MultiHeadAttention, PaddingOfKeysHasNoInfluence) {
  const Shape shape{2, 4, 6};
  const Tensor lengths = Tensor::from(std::vector<std::int32_t>{2, 4}, {2});
  using Attention = MultiHeadAttention;
  const auto run = [&](Context& c, Attention& layer, const Value& x) {
    return ops::slice(c, layer.apply(c, x, {.lengths = c.on_meta() ? Tensor() : lengths}),
                      {.dim = 1, .first = 0, .count = 2});
  };
  Ready<Attention> ready(Attention(2, Attention::Over::itself), shape, run);
  const Tensor x = random(shape, 3), other = x.clone();
  for (std::size_t k = 2 * 6; k < 4 * 6; ++k) other.span<float>()[k] = 100;
  expect_same(ready(other), ready(x));
}

TEST(MultiHeadAttention, DropsWeightsInTrainingOnly) {
  using Attention = MultiHeadAttention;
  const Shape shape{2, 4, 6};
  Ready<Attention> dropping(Attention(2, Attention::Over::itself, {.dropout = 0.5}), shape, plain<Attention>);
  Ready<Attention> plainly(Attention(2, Attention::Over::itself), shape, plain<Attention>);
  const Tensor x = random(shape, 4);
  expect_same(dropping(x), plainly(x));
  PlaneGradients store(dropping.layout, dropping.planes.grad);
  Tape tape(store);
  const StepState state{.random_seed = 3};
  dropping.context.begin_training({.tape = &tape, .state = &state, .global_rows = 2});
  EXPECT_NE(dropping(x).tensor().to_vector<float>(), plainly(x).tensor().to_vector<float>());
}

TEST(Transformer, ADecoderSeesNothingOfWhatFollows) {
  const Shape shape{1, 4, 6};
  Tensor source = random(shape, 5);
  const auto run = [&](Context& c, Transformer& layer, const Value& x) {
    const Value from = c.on_meta() ? Value(Tensor::empty(shape, DType::f32, Device::meta())) : Value(source);
    return ops::slice(c, layer.apply(c, {from, x}), {.dim = 1, .first = 0, .count = 3});
  };
  Ready<Transformer> ready(Transformer({.heads = 2, .layers = 2}), shape, run);
  const Tensor x = random(shape, 6), other = x.clone();
  for (std::size_t k = 3 * 6; k < 4 * 6; ++k) other.span<float>()[k] = -7;
  expect_same(ready(other), ready(x));
  const Value before = ready(x);
  source = random(shape, 7);
  EXPECT_NE(before.tensor().to_vector<float>(), ready(x).tensor().to_vector<float>());
}

TEST(SequenceLayers, WhatCannotBeIsRefused) {
  EXPECT_THROW(Lstm(0), Error);
  EXPECT_THROW(Gru(3, {.dropout = 1}), Error);
  EXPECT_THROW(MultiHeadAttention(0, MultiHeadAttention::Over::itself), Error);
  const Shape shape{2, 4, 6};
  EXPECT_THROW(Ready<MultiHeadAttention>(MultiHeadAttention(4, MultiHeadAttention::Over::itself), shape,
                                         plain<MultiHeadAttention>),
               Error);
  Ready<Recurrent> ready(Lstm(3), shape, plain<Recurrent>);
  const Value x(random(shape, 1));
  EXPECT_THROW(ready.layer.apply(ready.context, x, {.lengths = Tensor::from(std::vector<std::int32_t>{5, 1}, {2})}),
               Error);
  EXPECT_THROW(ready.layer.apply(ready.context, x, {.hidden = {x, x}}), Error);
}

}  // namespace
}  // namespace trireme
