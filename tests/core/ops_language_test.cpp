// What a user of the language model ops sees: messages, memory that is changed in place only where nobody else holds
// it, gradients of tied tables, chunks that change nothing, a cache that gives the same bits.
#include <gtest/gtest.h>

#include <functional>

#include "core/ops/attention.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/gated.hpp"
#include "core/ops/linear_cross_entropy.hpp"
#include "core/ops/matmul.hpp"
#include "core/ops/rms_norm.hpp"
#include "core/ops/rotary.hpp"
#include "tests/support/devices.hpp"
#include "tests/support/messages.hpp"

namespace trireme {
namespace {

/// Hands out one tensor for the only parameter, filled before with what an earlier contribution left.
struct OneGradient final : GradientStore {
  Tensor gradient;
  Write mode = Write::overwrite;
  Destination acquire(Parameter&) override {
    const Destination out{gradient, mode};
    mode = Write::accumulate;
    return out;
  }
  void ready(Parameter&) override {}
};

class LanguageOps : public testing::Test {
 protected:
  Stream stream;
  StepAllocator memory{Device::cpu()};
  Context context{stream, memory};
  OneGradient store;
  Tape tape{store};
  StepState state;

  void train() { context.begin_training({.tape = &tape, .state = &state}); }
  static Tensor f32(const std::vector<float>& values, const Shape& shape) { return Tensor::from(values, shape); }
  static Tensor i32(const std::vector<std::int32_t>& values, const Shape& shape) { return Tensor::from(values, shape); }
  static Tensor random(const Shape& shape, unsigned seed) {
    return f32(test::normal<float>(shape.elements(), seed), shape);
  }
};

TEST_F(LanguageOps, MessagesNameTheOpAndWhatIsWrong) {
  const auto expect = [](const std::string& text, const std::function<void()>& call) {
    EXPECT_EQ(message_of(call).substr(0, text.size()), text);
  };
  const Value table = f32({1, 2, 3, 4, 5, 6}, {3, 2}), qkv = random({2, 3, 12}, 1);
  const ops::AttentionOptions two{.heads = 2, .kv_heads = 1, .head_size = 3};
  expect("embedding: token 1 of row 1 has the id 3, but the table has 3 rows", [&] {
    ops::embedding(context, i32({0, 1, 2, 3}, {2, 2}), {table});
  });
  expect("embedding: token 0 of row 0 has the id -1", [&] { ops::embedding(context, i32({-1}, {1, 1}), {table}); });
  expect("embedding: tokens at positions 2 to 3, but there are 3 positions", [&] {
    ops::embedding(context, i32({0, 1}, {1, 2}), {table, table}, {.first_position = 2});
  });
  expect("embedding: token 1 of row 0 has the position 3", [&] {
    ops::embedding(context, i32({0, 1}, {1, 2}), {table, table}, {.position_of = i32({0, 3}, {1, 2})});
  });
  expect("embedding: the ids are (2) of i32, wanted (B, T)", [&] {
    ops::embedding(context, i32({0, 1}, {2}), {table});
  });
  expect("rms_norm: the gain is (3, 2), but the last dim of (2, 3, 12) wants (12)",
         [&] { ops::rms_norm(context, qkv, table); });
  expect("add_rms_norm: the summands are (2, 3, 12) of f32 and (3, 2) of f32", [&] {
    ops::add_rms_norm(context, {qkv, table}, table);
  });
  expect("gated_silu: the last dim of (1, 3)", [&] { ops::gated_silu(context, Value(f32({1, 2, 3}, {1, 3}))); });
  expect("rotary: the input is (2, 3, 12), but 2 heads and 2 x 1 key and value heads of 4 want (B, T, 16)",
         [&] { ops::rotary(context, qkv, {.heads = 2, .kv_heads = 1, .head_size = 4}); });
  expect("rotary: token 2 of row 1 has the position 3, but they must be 0 to 2", [&] {
    ops::rotary(context, random({2, 3, 16}, 1),
                {.heads = 2, .kv_heads = 1, .head_size = 4, .position_of = i32({0, 1, 2, 0, 1, 3}, {2, 3})});
  });
  expect("attention: 3 heads, 2 key heads", [&] { ops::attention(context, qkv, {.heads = 3, .kv_heads = 2}); });
  expect("attention: the input is (2, 3, 12), but 1 heads", [&] { ops::attention(context, qkv, {.head_size = 3}); });
  expect("attention: the document of token 1 of row 1 starts at 2; it must start at 0 to 1", [&] {
    ops::AttentionOptions options = two;
    options.document_start = i32({0, 1, 2, 0, 2, 2}, {2, 3});
    ops::attention(context, qkv, options);
  });
  expect("attend_cached: row 1 has 3 tokens in the cache and 3 new ones, but there is room for 5", [&] {
    const Tensor room = Tensor::zeros({2, 5, 3}, DType::f32);
    ops::attend_cached(context, qkv.tensor(), {room, room, i32({2, 3}, {2})}, two);
  });
  expect("linear_cross_entropy: row 1 has the label 3, but there are 3 classes", [&] {
    ops::linear_cross_entropy(context, {table, table}, i32({0, 3, 1}, {3}));
  });
  expect("linear_cross_entropy: hidden is (3, 2) of f32 and the weight (2, 3, 12)", [&] {
    ops::linear_cross_entropy(context, {table, qkv}, i32({0}, {1}));
  });
}

TEST_F(LanguageOps, EmptyBatchesAreNoError) {
  train();
  store.gradient = Tensor::from<float>({9, 9, 9, 9}, {2, 2});
  Parameter table({2, 2}, Initializer::zeros());
  table.bind(f32({1, 2, 3, 4}, {2, 2}), "table", 0);
  const Value used = context.use(table);
  const Value x = ops::embedding(context, i32({}, {0, 5}), {used});
  EXPECT_EQ(x.shape(), (Shape{0, 5, 2}));
  const Value hidden = tape.watch(f32({}, {0, 2}));
  const auto result = ops::linear_cross_entropy(context, {hidden, used}, i32({}, {0}));
  tape.backward(context, result.loss, 1);
  EXPECT_EQ(result.loss_sum(), 0);
  EXPECT_EQ(store.gradient.to_vector<float>(), (std::vector<float>{0, 0, 0, 0}));
  EXPECT_EQ(ops::attention(context, Value(f32({}, {2, 0, 3})), {}).shape(), (Shape{2, 0, 1}));
}

TEST_F(LanguageOps, TheGradientOfATableIsAddedToThatOfATiedHead) {
  train();
  Parameter table({4, 2}, Initializer::zeros());
  table.bind(random({4, 2}, 3), "table", 0);
  store.gradient = f32({1, 1, 1, 1, 1, 1, 1, 1}, {4, 2});
  store.mode = Write::accumulate;
  tape.backward(context, ops::embedding(context, i32({3, 1, 3}, {1, 3}), {context.use(table)}), 2);
  EXPECT_EQ(store.gradient.to_vector<float>(), (std::vector<float>{1, 1, 3, 3, 1, 1, 5, 5}));
  train();
  store.mode = Write::overwrite;
  tape.backward(context, ops::embedding(context, i32({3, 1, 3}, {1, 3}), {context.use(table)}), 2);
  EXPECT_EQ(store.gradient.to_vector<float>(), (std::vector<float>{0, 0, 2, 2, 0, 0, 4, 4}));
}

TEST_F(LanguageOps, RotaryChangesOnlyMemoryThatNobodyElseHolds) {
  const ops::RotaryOptions options{.heads = 1, .kv_heads = 1, .head_size = 2, .first_position = 1};
  const std::vector<float> before{1, 0, 0, 1, 5, 6};
  Value x = f32(before, {1, 1, 6});
  const void* const address = x.tensor().raw();
  const auto turned = ops::rotary(context, x, options).tensor().to_vector<float>();
  EXPECT_EQ(x.tensor().to_vector<float>(), before) << "a value that the caller still holds";
  EXPECT_NEAR(turned[0], std::cos(1), 1e-7);
  EXPECT_NEAR(turned[1], std::sin(1), 1e-7);
  EXPECT_NEAR(turned[2], -std::sin(1), 1e-7);
  EXPECT_EQ(turned[4], 5);
  const Tensor second = x.tensor();
  EXPECT_NE(ops::rotary(context, std::move(x), options).tensor().raw(), address) << "a tensor that someone else holds";
  x = f32(before, {1, 1, 6});
  const void* const own = x.tensor().raw();
  const Value y = ops::rotary(context, std::move(x), options);
  EXPECT_EQ(y.tensor().raw(), own);
  EXPECT_EQ(y.tensor().to_vector<float>(), turned);
}

TEST_F(LanguageOps, RotaryHidesPositionsFromDotProductsOfEqualDistance) {
  const ops::RotaryOptions at{.heads = 1, .kv_heads = 1, .head_size = 8};
  const Tensor one = random({1, 1, 24}, 4);
  std::vector<float> repeated;
  for (int t = 0; t < 400; ++t)
    for (const float value : one.span<float>()) repeated.push_back(value);
  const auto y = ops::rotary(context, Value(f32(repeated, {1, 400, 24})), at).tensor().to_vector<float>();
  const auto dot = [&](std::size_t q, std::size_t k) {
    double total = 0;
    for (std::size_t i = 0; i < 8; ++i)
      total += static_cast<double>(y[q * 24 + i]) * static_cast<double>(y[k * 24 + 8 + i]);
    return total;
  };
  for (std::size_t t = 7; t < 400; t += 56) EXPECT_NEAR(dot(t, t - 7), dot(7, 0), 1e-4 * std::abs(dot(7, 0)));
}

TEST_F(LanguageOps, AGradientThatSeveralInputsShareIsCopiedBeforeItIsAddedTo) {
  train();
  const Value a = tape.watch(f32({1, 2}, {2})), b = tape.watch(f32({3, 4}, {2}));
  const Value five = ops::scale(context, a, 5);  // its gradient comes after that of the sum
  const Value sum = ops::add(context, a, b);
  tape.backward(context, ops::add(context, sum, five), 1);
  EXPECT_EQ(tape.gradient_of(a).to_vector<float>(), (std::vector<float>{6, 6}));
  EXPECT_EQ(tape.gradient_of(b).to_vector<float>(), (std::vector<float>{1, 1}));
}

TEST_F(LanguageOps, AGradientThatSeveralInputsShareIsNotOverwritten) {
  train();
  const Value a = tape.watch(random({1, 2, 12}, 1)), b = tape.watch(random({1, 2, 12}, 2));
  const Value turned = ops::rotary(context, a, {.heads = 1, .kv_heads = 1, .head_size = 4, .first_position = 1});
  tape.backward(context, ops::add(context, turned, b), 1);
  EXPECT_EQ(tape.gradient_of(b).to_vector<float>(), std::vector<float>(24, 1.0f));
  EXPECT_NEAR(tape.gradient_of(a).to_vector<float>()[0], std::cos(1) + std::sin(1), 1e-6);
}

TEST_F(LanguageOps, ChunksChangeNothing) {
  const Tensor hidden = random({9, 33}, 1), weight = random({130, 33}, 2);
  const Tensor labels = i32({0, 129, 7, 7, 5, 100, 3, 2, 1}, {9});
  struct Found {
    double loss, correct;
    std::vector<double> dhidden, dweight;
  };
  const auto run = [&](std::int64_t chunk_bytes) {
    train();
    const Value h = tape.watch(hidden.clone()), w = tape.watch(weight.clone());
    const auto result = ops::linear_cross_entropy(context, {h, w}, labels, {.chunk_bytes = chunk_bytes});
    const Found out{result.loss_sum(), result.correct(), {}, {}};
    tape.backward(context, ops::scale(context, result.loss, 0.5), 1);
    return Found{out.loss, out.correct, test::as_double(tape.gradient_of(h).to_vector<float>()),
                 test::as_double(tape.gradient_of(w).to_vector<float>())};
  };
  train();
  const Value h = tape.watch(hidden.clone()), w = tape.watch(weight.clone());
  const Value logits = ops::matmul(context, h, w, {.transpose_b = ops::Transpose::yes});
  const auto plain = ops::cross_entropy(context, logits, labels);
  tape.backward(context, ops::scale(context, plain.loss, 0.5), 1);
  for (const std::int64_t bytes : {std::int64_t{1} << 30, std::int64_t{4 * 130 * 4}, std::int64_t{1}}) {
    const Found found = run(bytes);
    EXPECT_NEAR(found.loss, plain.loss_sum(), 1e-5 * plain.loss_sum());
    EXPECT_EQ(found.correct, plain.correct());
    test::expect_near(tape.gradient_of(h).to_vector<float>(), found.dhidden, 1e-5);
    test::expect_near(tape.gradient_of(w).to_vector<float>(), found.dweight, 1e-5);
  }
}

TEST_F(LanguageOps, AHeadNeverHoldsMoreLogitsThanItMay) {
  const Tensor hidden = random({64, 8}, 1), weight = random({1000, 8}, 2);
  const Tensor labels = i32(std::vector<std::int32_t>(64, 3), {64});
  const std::int64_t limit = 8 * 1000 * 4;
  train();
  const Value h = tape.watch(hidden), w = tape.watch(weight);
  const auto result = ops::linear_cross_entropy(context, {h, w}, labels, {.chunk_bytes = limit});
  tape.backward(context, result.loss, 1);
  const auto gradients = static_cast<std::int64_t>((hidden.elements() + weight.elements()) * 4);
  EXPECT_LT(static_cast<std::int64_t>(memory.peak_bytes()), limit + gradients + 100000);
}

}  // namespace
}  // namespace trireme
