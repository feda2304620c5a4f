// Ops and losses against PyTorch: the goldens in tests/golden/ops (made by make.py there) hold inputs, outputs and
// gradients that PyTorch computed in f64; f32 and f64 here must agree.
#include "core/nn/arena.hpp"
#include "core/ops/activation.hpp"
#include "core/ops/conv2d.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/group_norm.hpp"
#include "core/ops/image.hpp"
#include "core/ops/indexing.hpp"
#include "core/ops/losses.hpp"
#include "core/ops/reduce.hpp"
#include "core/ops/softmax.hpp"
#include "tests/core/golden.hpp"

namespace trireme {
namespace {

using ops::Alignment;
using ops::Interpolation;
using ops::PadMode;

/// What a case is given: differentiable inputs and constants.
struct GivenTensors {
  std::vector<Value> x;
  std::vector<Tensor> i;
  Tensor alike(std::size_t k) const {  ///< A constant in the type of the inputs.
    return x[0].dtype() == DType::f32 ? i[k] : Tensor::from(doubles_of(i[k]), i[k].shape());
  }
};

struct ParityCase {
  std::string name;
  std::function<Value(Context&, const GivenTensors&)> function;
  friend std::ostream& operator<<(std::ostream& out, const ParityCase& c) { return out << c.name; }
};

using Unary = Value (*)(Context&, const Value&);
ParityCase unary_case(const std::string& name, Unary function) {
  return {name, [function](Context& c, const GivenTensors& g) { return function(c, g.x[0]); }};
}

std::vector<ParityCase> elements() {
  return {
      unary_case("leaky_relu", [](Context& c, const Value& x) { return ops::leaky_relu(c, x, 0.2); }),
      unary_case("silu", ops::silu),
      unary_case("softplus", ops::softplus),
      unary_case("log_softmax", ops::log_softmax),
      unary_case("exp", ops::exp),
      unary_case("log", ops::log),
      unary_case("sqrt", ops::sqrt),
      unary_case("power", [](Context& c, const Value& x) { return ops::power(c, x, 1.7); }),
      unary_case("clamp", [](Context& c, const Value& x) { return ops::clamp(c, x, -0.5, 0.8); }),
      {"where",
       [](Context& c, const GivenTensors& g) {
         return ops::where(c, g.i[0], {g.x[0], g.x[1]});
       }},
      {"gather", [](Context& c, const GivenTensors& g) { return ops::gather(c, g.x[0], g.i[0]); }},
      {"take_along", [](Context& c, const GivenTensors& g) { return ops::take_along(c, g.x[0], g.i[0]); }},
      {"scatter_along", [](Context& c, const GivenTensors& g) { return ops::scatter_along(c, g.x[0], g.i[0], 9); }},
      unary_case("top_k", [](Context& c, const Value& x) { return ops::top_k(c, x, 3).values; }),
      unary_case("max_along", ops::max_along),
      unary_case("min_along", ops::min_along),
      unary_case("cumulative_sum", ops::cumulative_sum),
  };
}

ParityCase padded(const std::string& mode, PadMode which) {
  return {"pad_" + mode, [which](Context& c, const GivenTensors& g) {
            return ops::pad(c, g.x[0], {.top = 1, .bottom = 3, .left = 2, .right = 1, .mode = which, .value = 0.5});
          }};
}

ParityCase resized(const std::string& name, const ops::InterpolateOptions& options) {
  return {"resize_" + name,
          [options](Context& c, const GivenTensors& g) { return ops::interpolate(c, g.x[0], options); }};
}

ParityCase convolved(const std::string& name, const ops::Conv2dOptions& options) {
  return {name, [options](Context& c, const GivenTensors& g) {
            return ops::conv2d(c, g.x[0], {.filter = g.x[1], .bias = g.x[2]}, options);
          }};
}

ParityCase transposed(const std::string& name, const ops::ConvTranspose2dOptions& options) {
  return {name, [options](Context& c, const GivenTensors& g) {
            const Value bias = g.x.size() > 2 ? g.x[2] : Value();
            return ops::conv_transpose2d(c, g.x[0], {.filter = g.x[1], .bias = bias}, options);
          }};
}

std::vector<ParityCase> images() {
  using I = Interpolation;
  return {
      padded("constant", PadMode::constant),
      padded("reflect", PadMode::reflect),
      padded("replicate", PadMode::replicate),
      padded("circular", PadMode::circular),
      resized("nearest", {.height = 7, .width = 3, .mode = I::nearest}),
      resized("bilinear", {.height = 7, .width = 3}),
      resized("bicubic", {.height = 7, .width = 3, .mode = I::bicubic}),
      resized("bilinear_corners", {.height = 3, .width = 8, .alignment = Alignment::corners}),
      resized("bicubic_corners", {.height = 3, .width = 8, .mode = I::bicubic, .alignment = Alignment::corners}),
      unary_case("pixel_shuffle", [](Context& c, const Value& x) { return ops::pixel_shuffle(c, x, 2); }),
      unary_case("pixel_unshuffle", [](Context& c, const Value& x) { return ops::pixel_unshuffle(c, x, 2); }),
      {"group_norm",
       [](Context& c, const GivenTensors& g) {
         return ops::group_norm(c, g.x[0], {g.x[1], g.x[2]}, {.groups = 3});
       }},
      {"instance_norm",
       [](Context& c, const GivenTensors& g) {
         return ops::instance_norm(c, g.x[0], {g.x[1], g.x[2]});
       }},
      convolved("conv_dilated", {.stride = {1, 2}, .padding = {2, 1}, .dilation = {2, 3}}),
      convolved("conv_depthwise", {.padding = {1, 1}, .groups = 4}),
      transposed("conv_transpose",
                 {.conv = {.stride = {2, 3}, .padding = {1, 0}, .groups = 2}, .output_padding = {1, 2}}),
      transposed("conv_transpose_dilated", {.conv = {.dilation = {2, 2}}}),
  };
}

using PointLoss = ops::LossResult (*)(Context&, const Value&, const ops::PointTargets&);
ParityCase point(const std::string& name, PointLoss loss) {
  return {name, [loss](Context& c, const GivenTensors& g) { return loss(c, g.x[0], {g.alike(0)}).loss; }};
}

std::vector<ParityCase> losses() {
  using ops::PointTargets;
  return {
      point("squared_loss", ops::squared_loss),
      point("absolute_loss", ops::absolute_loss),
      point("smooth_l1_loss",
            [](Context& c, const Value& x, const PointTargets& t) { return ops::smooth_l1_loss(c, x, t, 0.7); }),
      point("binary_cross_entropy",
            [](Context& c, const Value& x, const PointTargets& t) { return ops::binary_cross_entropy(c, x, t, 2.5); }),
      point("hinge_loss", [](Context& c, const Value& x, const PointTargets& t) { return ops::hinge_loss(c, x, t); }),
      point("kl_divergence", [](Context& c, const Value& x,
                                const PointTargets& t) { return ops::kl_divergence(c, ops::log_softmax(c, x), t); }),
      {"multi_class_hinge",
       [](Context& c, const GivenTensors& g) { return ops::multi_class_hinge(c, g.x[0], {g.i[0]}, 0.8).loss; }},
      {"ctc_loss",
       [](Context& c, const GivenTensors& g) {
         return ops::ctc_loss(c, ops::log_softmax(c, g.x[0]), {.labels = g.i[0], .frames = g.i[1], .lengths = g.i[2]})
             .loss;
       }},
      {"contrastive_loss",
       [](Context& c, const GivenTensors& g) {
         return ops::contrastive_loss(c, {g.x[0], g.x[1]}, 0.2).loss;
       }},
  };
}

class OpsParity : public testing::TestWithParam<ParityCase> {};

TEST_P(OpsParity, OutputAndGradientsAreThoseOfPyTorch) {
  const Golden golden("ops");
  const std::string base = GetParam().name + "/";
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Stream stream;
    StepAllocator memory{Device::cpu()};
    Context context(stream, memory);
    const ArenaLayout layout;
    PlaneGradients store(layout, {});
    Tape tape(store);
    const StepState state;
    context.begin_training({.tape = &tape, .state = &state});
    GivenTensors given;
    for (int k = 0; golden.has(base + "x" + std::to_string(k)); ++k)
      given.x.push_back(tape.watch(golden.tensor(base + "x" + std::to_string(k), dtype)));
    for (int k = 0; golden.has(base + "i" + std::to_string(k)); ++k)
      given.i.push_back(golden.tensor(base + "i" + std::to_string(k)));
    const Value y = GetParam().function(context, given);
    Tensor w = golden.tensor(base + "w", dtype);
    EXPECT_LE(apart(y.tensor(), golden.tensor(base + "y")), golden_tolerance) << name_of(dtype);
    if (y.shape() == Shape{1}) w = w.reshape({1});
    ASSERT_EQ(y.shape(), w.shape());
    tape.backward(context, ops::sum(context, ops::mul(context, y, w)), 1);
    for (std::size_t k = 0; k < given.x.size(); ++k)
      EXPECT_LE(apart(tape.gradient_of(given.x[k]), golden.tensor(base + "g" + std::to_string(k))), golden_tolerance)
          << name_of(dtype) << " gradient " << k;
  }
}

const auto name_of_case = [](const auto& one) { return one.param.name; };
INSTANTIATE_TEST_SUITE_P(Elements, OpsParity, testing::ValuesIn(elements()), name_of_case);
INSTANTIATE_TEST_SUITE_P(Images, OpsParity, testing::ValuesIn(images()), name_of_case);
INSTANTIATE_TEST_SUITE_P(Losses, OpsParity, testing::ValuesIn(losses()), name_of_case);

}  // namespace
}  // namespace trireme
