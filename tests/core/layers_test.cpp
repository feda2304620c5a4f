// Layers: what each makes of a shape and which names its parts have, initialisers' spread, freezing by name.
#include "core/nn/layers.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "core/nn/arena.hpp"

namespace trireme {
namespace {

/// A module planned and materialised for inputs of one shape.
struct Built {
  Module& module;
  ArenaLayout layout;
  Planes planes;
  Stream stream;
  StepAllocator memory{Device::cpu()};
  Context context{stream, memory};

  Built(Module& made, const Shape& input, const ArenaOptions& options = {.dtype = DType::f64})
      : module(made),
        layout(plan_arena(made, options,
                          [&](Context& c) { made.forward(c, Tensor::empty(input, options.dtype, Device::meta())); })),
        planes(allocate_planes(layout, Device::cpu(), system_allocator(Device::cpu()))) {
    materialize(made, layout, planes, 11);
  }
  Value run(const Shape& input) {
    const Tensor x = Tensor::empty(input, DType::f64);
    for (std::size_t k = 0; k < x.span<double>().size(); ++k)
      x.span<double>()[k] = std::sin(0.7 * static_cast<double>(k));
    return module.forward(context, x);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const ArenaEntry& entry : layout.entries()) out.push_back(entry.name);
    return out;
  }
};

using Names = std::vector<std::string>;

TEST(Layers, LearnTheirInputsAndNameTheirParts) {
  Sequential model(Conv2d(6, {.padding = 1, .groups = 2}), BatchNorm(), MaxPool2d(2, {.stride = 1}), AveragePool2d(2),
                   Residual(Sequential(Conv2d(6, {.kernel = 1, .bias = Bias::no}), LayerNorm())), GlobalAveragePool(),
                   Linear(5, {.activation = ops::Activation::gelu}), Tanh(), Sigmoid(), Gelu(), Dropout(0.5),
                   Linear(3));
  Built built(model, {2, 8, 8, 4});
  EXPECT_EQ(built.run({2, 8, 8, 4}).shape(), (Shape{2, 3}));
  EXPECT_EQ(built.names(), (Names{"0.weight", "0.bias", "1.gain", "1.bias", "4.inner.0.weight", "4.inner.1.gain",
                                  "4.inner.1.bias", "6.weight", "6.bias", "11.weight", "11.bias"}));
  EXPECT_EQ(built.layout.entries()[0].parameter->shape(), (Shape{6, 3, 3, 2}));
  EXPECT_EQ(states_of(model).size(), 2u);
  EXPECT_EQ(states_of(model)[1].name, "1.running_variance");
}

TEST(Layers, ResidualAddsWhatItWraps) {
  Sequential inner(Linear(3)), model(Residual(Linear(3)));
  Built a(inner, {2, 3}), b(model, {2, 3});
  b.planes.param.copy_from(a.planes.param);
  const auto plain = a.run({2, 3}).tensor().to_vector<double>(), sum = b.run({2, 3}).tensor().to_vector<double>();
  for (std::size_t k = 0; k < 6; ++k) EXPECT_NEAR(sum[k], plain[k] + std::sin(0.7 * static_cast<double>(k)), 1e-12);
}

TEST(Layers, DropoutIsTheIdentityInEvaluation) {
  Dropout layer(0.9);
  Built built(layer, {4, 4});
  const auto y = built.run({4, 4}).tensor().to_vector<double>();
  for (std::size_t k = 0; k < y.size(); ++k) EXPECT_EQ(y[k], std::sin(0.7 * static_cast<double>(k)));
}

TEST(Layers, FrozenByNameTheyLeaveThePlan) {
  Sequential model(Linear(4), Linear(2));
  Built built(model, {1, 3},
              {.dtype = DType::f64, .freeze = [](const std::string& name) { return name.starts_with("0."); }});
  EXPECT_EQ(built.layout.trained(), 2u);
  EXPECT_EQ(built.names(), (Names{"1.weight", "1.bias", "0.weight", "0.bias"}));
  EXPECT_LT(built.layout.trained_elements(), built.layout.elements());
}

TEST(Layers, RefuseNonsense) {
  EXPECT_THROW(Linear(0), Error);
  EXPECT_THROW(Dropout(1), Error);
  EXPECT_THROW(Conv2d(5, {.groups = 2}), Error);
  Linear layer(2);
  Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  EXPECT_THROW(layer.forward(context, Tensor::zeros({1, 2}, DType::f64)), Error) << "used before it was planned";
}

struct Drawn {
  const char* name;
  Initializer how;
  double deviation, bound;
};

class Initializers : public testing::TestWithParam<Drawn> {};

TEST_P(Initializers, HaveTheSpreadOfTheirPaper) {
  constexpr std::int64_t inputs = 200, outputs = 300;
  Sequential model(Linear(outputs, {.weight = GetParam().how}));
  const Built built(model, {1, inputs});
  double square = 0, largest = 0;
  for (const double w : built.layout.entries()[0].parameter->value().to_vector<double>()) {
    square += w * w / (inputs * outputs);
    largest = std::max(largest, std::abs(w));
  }
  EXPECT_NEAR(std::sqrt(square) / GetParam().deviation, 1, 0.01);  // 60,000 draws: 3.5 standard errors at most
  EXPECT_LE(largest, GetParam().bound);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Initializers,
    testing::Values(
        Drawn{"xavier_uniform", Initializer::xavier_uniform(200, 300), std::sqrt(2.0 / 500), std::sqrt(6.0 / 500)},
        Drawn{"xavier_normal", Initializer::xavier_normal(200, 300), std::sqrt(2.0 / 500), 1},
        Drawn{"kaiming_uniform", Initializer::kaiming_uniform(200), std::sqrt(2.0 / 200), std::sqrt(6.0 / 200)},
        Drawn{"kaiming_normal", Initializer::kaiming_normal(200), std::sqrt(2.0 / 200), 1}),
    [](const auto& drawn) { return std::string(drawn.param.name); });

}  // namespace
}  // namespace trireme
