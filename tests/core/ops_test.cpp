// What a user of the ops sees: messages for shapes that do not fit, results of whole ops on known numbers, dropout that
// does not depend on how a batch is split, tensors changed behind the tape's back.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/ops/activation.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/ops/dropout.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/layer_norm.hpp"
#include "core/ops/reduce.hpp"
#include "core/ops/shape_ops.hpp"
#include "core/ops/softmax.hpp"
#include "tests/support/messages.hpp"

namespace trireme {
namespace {

struct NoParametersHere final : GradientStore {
  Destination acquire(Parameter&) override { return {}; }
  void ready(Parameter&) override {}
};

class OpsTest : public testing::Test {
 protected:
  Stream stream;
  StepAllocator memory{Device::cpu()};
  Context context{stream, memory};
  NoParametersHere store;
  Tape tape{store};
  StepState state{.step = 3, .random_seed = 99};

  void train(std::int64_t first_sample = 0) {
    context.begin_training({.tape = &tape, .state = &state, .peers = nullptr, .first_sample = first_sample});
  }
  static Tensor f32(std::vector<float> values, const Shape& shape) { return Tensor::from(values, shape); }
  static Tensor labels(std::vector<std::int32_t> values) {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
  }
};

TEST_F(OpsTest, MessagesNameTheOpAndTheShapes) {
  const Value a = f32({1, 2, 3, 4, 5, 6}, {2, 3}), b = f32({1, 2, 3, 4}, {2, 2});
  const auto expect = [](const std::string& text, const std::function<void()>& call) {
    EXPECT_EQ(message_of(call).substr(0, text.size()), text);
  };
  expect("add: the shapes (2, 3) and (2, 2) do not fit", [&] { ops::add(context, a, b); });
  expect("mul: the operands are f32 and f64", [&] { ops::mul(context, a, Value(Tensor::zeros({2, 3}, DType::f64))); });
  expect("softmax: a scalar has no last dim", [&] { ops::softmax(context, Value(f32({1}, {}))); });
  expect("relu: the element type i32 is not supported", [&] { ops::relu(context, Value(labels({1, 2}))); });
  expect("layer_norm: the gain is (2, 2), but the last dim of (2, 3) wants (3)", [&] {
    ops::layer_norm(context, a, {b, b});
  });
  expect("reshape: (2, 3) has 6 elements, but (4) wants 4", [&] { ops::reshape(context, a, {4}); });
  expect("transpose: (4) does not have two dims", [&] { ops::transpose(context, ops::reshape(context, b, {4})); });
  expect("permute: the order (0, 0) does not hold", [&] { ops::permute(context, a, std::vector<int>{0, 0}); });
  expect("concat: input 1 is (2, 2), which differs from input 0 (2, 3) outside dim 0", [&] {
    ops::concat(context, std::vector<Value>{a, b}, 0);
  });
  expect("concat: there are no inputs", [&] { ops::concat(context, {}, 0); });
  expect("slice: elements [2, 4) of dim 1", [&] { ops::slice(context, a, {.dim = 1, .first = 2, .count = 2}); });
  expect("slice: dim 2 of (2, 3) does not exist", [&] { ops::slice(context, a, {.dim = 2}); });
  expect("dropout: the probability 1", [&] { ops::dropout(context, a, {.probability = 1}); });
  expect("mean: (0, 3) has no elements", [&] { ops::mean(context, Value(f32({}, {0, 3}))); });
  expect("cross_entropy: the logits are (3)", [&] {
    ops::cross_entropy(context, Value(f32({1, 2, 3}, {3})), labels({1}));
  });
  expect("cross_entropy: the labels are (3) of i32", [&] { ops::cross_entropy(context, a, labels({1, 2, 0})); });
  expect("cross_entropy: row 1 has the label 3, but there are 3 classes", [&] {
    ops::cross_entropy(context, a, labels({1, 3}));
  });
  expect("cross_entropy: row 0 has the label -1", [&] { ops::cross_entropy(context, a, labels({-1, 3})); });
}

TEST_F(OpsTest, EmptyBatchesAreNoError) {
  train();
  const Value x = tape.watch(f32({}, {0, 3}));
  const Value y = ops::softmax(context, ops::relu(context, ops::add(context, x, Value(f32({1, 2, 3}, {3})))));
  const auto result = ops::cross_entropy(context, y, labels({}));
  tape.backward(context, result.loss, 1);
  EXPECT_EQ(result.loss.tensor().item(), 0);
  EXPECT_EQ(result.target_count(), 0);
  EXPECT_EQ(ops::sum(context, x, ops::Over::first_dim).tensor().to_vector<float>(), (std::vector<float>{0, 0, 0}));
}

TEST_F(OpsTest, CrossEntropyCountsWhatCounts) {
  const Value logits = f32({2, 1, 0, 0, 5, 0, 1, 1, 1, 9, 9, 9}, {4, 3});
  const Tensor truth = labels({0, 2, 0, 77});
  const auto result = ops::cross_entropy(context, logits, truth, {.ignore = 2, .weights = f32({1, 1, 0.5, 0}, {4})});
  const double first = std::log(std::exp(2.0) + std::exp(1.0) + 1) - 2, third = 0.5 * std::log(3.0);
  EXPECT_NEAR(result.loss_sum(), first + third, 1e-6);
  EXPECT_NEAR(result.loss.tensor().item(), first + third, 1e-6);
  EXPECT_EQ(result.target_count(), 1.5);
  EXPECT_EQ(result.correct(), 1.5);  // of equal logits the first one is the prediction
}

TEST_F(OpsTest, CrossEntropyOfALargeVocabularyKeepsItsPrecision) {
  std::vector<float> values(50000, 0.0f);
  values[123] = 10;
  const auto result = ops::cross_entropy(context, Value(f32(values, {1, 50000})), labels({123}));
  EXPECT_NEAR(result.loss_sum(), std::log(std::exp(10.0) + 49999) - 10, 2e-6);
  const Value huge = f32({1e30f, -1e30f, 0}, {1, 3});
  EXPECT_EQ(ops::cross_entropy(context, huge, labels({0})).loss_sum(), 0);
}

TEST_F(OpsTest, ArgmaxTakesTheFirstOfEqualOnes) {
  const float nan = NAN;
  const Tensor out = ops::argmax(context, f32({1, 3, 3, nan, 2, 1, nan, nan, nan}, {3, 3}));
  EXPECT_EQ(out.to_vector<std::int32_t>(), (std::vector<std::int32_t>{1, 1, 0}));
}

TEST_F(OpsTest, PermuteAndConcatMoveElements) {
  const Value x = f32({1, 2, 3, 4, 5, 6}, {1, 2, 3});
  const Value y = ops::permute(context, x, std::vector<int>{2, 0, 1});
  EXPECT_EQ(y.shape(), (Shape{3, 1, 2}));
  EXPECT_EQ(y.tensor().to_vector<float>(), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  const Value z = ops::concat(context, std::vector<Value>{x, x}, 2);
  EXPECT_EQ(z.tensor().to_vector<float>(), (std::vector<float>{1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}));
  const Value s = ops::slice(context, z, {.dim = -1, .first = 2, .count = 2});
  EXPECT_EQ(s.tensor().to_vector<float>(), (std::vector<float>{3, 1, 6, 4}));
}

TEST_F(OpsTest, DropoutDoesNotDependOnTheSplit) {
  const Tensor x = f32(std::vector<float>(64 * 50, 1.0f), {64, 50});
  train();
  const auto whole = ops::dropout(context, x).tensor().to_vector<float>();
  EXPECT_NE(ops::dropout(context, x).tensor().to_vector<float>(), whole) << "a second layer draws the same";
  train(40);
  const auto part = ops::dropout(context, x.slice(40, 24)).tensor().to_vector<float>();
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 40 * 50));
  state.step = 4;
  train();
  EXPECT_NE(ops::dropout(context, x).tensor().to_vector<float>(), whole) << "another step draws the same";
  context.begin_eval();
  EXPECT_EQ(ops::dropout(context, x).tensor().buffer(), x.buffer());
}

TEST_F(OpsTest, AnInputChangedInPlaceIsFoundAtBackward) {
  train();
  const Value x = tape.watch(f32({1, 2}, {2}));
  const Value y = ops::square(context, x);
  x.tensor().fill_zero();
  EXPECT_NE(message_of([&] { tape.backward(context, y, 1); }).find("changed in place"), std::string::npos);
}

TEST_F(OpsTest, ReluKeepsItsOutputOnly) {
  train();
  Value x = tape.watch(f32({1, -2}, {2}));
  const std::weak_ptr<Buffer> input = x.tensor().buffer();
  const Value y = ops::relu(context, ops::scale(context, x, 1));
  x = {};
  EXPECT_TRUE(input.expired()) << "scale and relu hold their input";
  tape.clear();
}

TEST_F(OpsTest, SharedGradientsAreNotAliased) {
  train();
  const Value x = tape.watch(f32({1, 2}, {2}));
  const Value h = ops::add_scalar(context, ops::scale(context, x, 1), 1);
  const Value y = ops::add(context, ops::add(context, h, h), ops::reshape(context, h, {2}));
  tape.backward(context, ops::sub(context, y, h), 1);
  EXPECT_EQ(tape.gradient_of(x).to_vector<float>(), (std::vector<float>{2, 2}));
}

}  // namespace
}  // namespace trireme
