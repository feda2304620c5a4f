// Rows of the gradient check for the losses, and what they refuse.
#include <gtest/gtest.h>

#include <thread>

#include "core/nn/arena.hpp"
#include "core/ops/losses.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/thread_peers.hpp"

namespace trireme {
namespace {

template <class T>
Tensor constant_value(Context& context, const std::vector<T>& values, const Shape& shape) {
  if (context.on_meta()) return Tensor::empty(shape, dtype_of<T>, Device::meta());
  return Tensor::from(values, shape, context.device());
}

/// Values of x's type, shape and device: value(i) for element i.
Tensor like(Context& context, const Value& x, double (*value)(int)) {
  if (context.on_meta()) return Tensor::empty(x.shape(), x.dtype(), Device::meta());
  return with_floating(x.dtype(), "test", [&](auto zero) {
    using T = decltype(zero);
    std::vector<T> out;
    for (int i = 0; i < x.elements(); ++i) out.push_back(static_cast<T>(value(i)));
    return Tensor::from(out, x.shape(), context.device());
  });
}

double wave(int i) { return (i * 37 % 23) / 8.0 - 1.375; }
double probability(int i) { return i % 5 == 0 ? 0 : (i * 7 % 8) / 8.0; }
double sign(int i) { return i % 3 == 0 ? 1 : -1; }

using PointLoss = ops::LossResult (*)(Context&, const Value&, const ops::PointTargets&);

GradientCase point(const std::string& op, PointLoss loss, double (*targets)(int)) {
  return {.op = op, .variant = "", .shapes = {{3, 2, 5}}, .function = [=](Context& c, const Inputs& x) {
            const Tensor weights = constant_value<float>(c, {1, 0, 0.5f}, {3});
            return loss(c, x[0], {like(c, x[0], targets), weights}).loss;
          }};
}

const GradientCases points({
    point("squared_loss", ops::squared_loss, wave),
    point("absolute_loss", ops::absolute_loss, wave),
    point(
        "smooth_l1_loss",
        [](Context& c, const Value& x, const ops::PointTargets& t) { return ops::smooth_l1_loss(c, x, t, 0.6); }, wave),
    point(
        "binary_cross_entropy",
        [](Context& c, const Value& x, const ops::PointTargets& t) { return ops::binary_cross_entropy(c, x, t, 2.5); },
        probability),
    point(
        "hinge_loss", [](Context& c, const Value& x, const ops::PointTargets& t) { return ops::hinge_loss(c, x, t); },
        sign),
    point("kl_divergence", ops::kl_divergence, probability),
});

const GradientCases loss_rows({
    {.op = "multi_class_hinge",
     .variant = "",
     .shapes = {{4, 6}},
     .function =
         [](Context& c, const Inputs& x) {
           const Tensor labels = constant_value<std::int32_t>(c, {5, 0, 2, 2}, {4});
           return ops::multi_class_hinge(c, x[0], {labels, constant_value<float>(c, {1, 2, 0, 1}, {4})}, 0.8).loss;
         }},
    {.op = "ctc_loss",
     .variant = "",
     .shapes = {{3, 6, 4}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::ctc_loss(c, x[0],
                                {.labels = constant_value<std::int32_t>(c, {0, 0, 3, 1, 0, 0, 9, 9, 9}, {3, 3}),
                                 .frames = constant_value<std::int32_t>(c, {6, 4, 2}, {3}),
                                 .lengths = constant_value<std::int32_t>(c, {3, 2, 0}, {3}),
                                 .blank = 2})
               .loss;
         },
     .half_tolerance = 6},
    {.op = "contrastive_loss",
     .variant = "",
     .shapes = {{3, 4}, {3, 4}},
     .function =
         [](Context& c, const Inputs& x) {
           return ops::contrastive_loss(c, {x[0], x[1]}, 0.5).loss;
         },
     .half_tolerance = 6},
});

class Losses : public testing::Test {
 protected:
  Stream stream;
  Context context{stream, system_allocator(Device::cpu())};
  static Tensor ints(const std::vector<std::int32_t>& values) {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
  }
};

TEST_F(Losses, CountWhatTheirMeanIsDividedBy) {
  const Value x(Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}));
  const Tensor zeros = Tensor::zeros({2, 3}, DType::f32), half = Tensor::from(std::vector<float>{1, 0.5f}, {2});
  const ops::LossResult squared = ops::squared_loss(context, x, {zeros, half});
  EXPECT_DOUBLE_EQ(squared.loss_sum(), 14 + 77 / 2.0);
  EXPECT_DOUBLE_EQ(squared.target_count(), 4.5);
  EXPECT_DOUBLE_EQ(ops::kl_divergence(context, x, {zeros, half}).target_count(), 1.5);
}

TEST_F(Losses, ASampleOfWeightZeroMayHoldAnything) {
  const Value x(Tensor::from(std::vector<float>{1, 2, NAN, INFINITY}, {2, 2}));
  const Tensor weights = Tensor::from(std::vector<float>{1, 0}, {2});
  EXPECT_EQ(ops::absolute_loss(context, x, {Tensor::zeros({2, 2}, DType::f32), weights}).loss_sum(), 3);
  EXPECT_EQ(ops::multi_class_hinge(context, x, {ints({1, 77}), weights}).target_count(), 1);
}

TEST_F(Losses, AnImpossibleCtcTargetIsInfiniteOrIgnored) {
  const Value x(Tensor::zeros({1, 2, 3}, DType::f64));
  ops::CtcTargets t{.labels = ints({1, 1}).reshape({1, 2}), .frames = ints({2}), .lengths = ints({2})};
  EXPECT_EQ(ops::ctc_loss(context, x, t).loss_sum(), HUGE_VAL);
  t.impossible = ops::CtcTargets::Impossible::ignored;
  EXPECT_EQ(ops::ctc_loss(context, x, t).loss_sum(), 0);
}

TEST_F(Losses, WrongLabelsAndLengthsAreNamed) {
  const Value x(Tensor::zeros({1, 2, 3}, DType::f64));
  const auto text = [&](const ops::CtcTargets& t) -> std::string {
    try {
      ops::ctc_loss(context, x, t);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input);
      return error.what();
    }
    return "nothing";
  };
  const Tensor one = ints({1}).reshape({1, 1});
  EXPECT_NE(text({.labels = one, .frames = ints({3}), .lengths = ints({1})}).find("sample 0 has 3 frames"),
            std::string::npos);
  EXPECT_NE(
      text({.labels = one, .frames = ints({2}), .lengths = ints({1}), .blank = 1}).find("label 0 of sample 0 is 1"),
      std::string::npos);
  EXPECT_THROW(ops::multi_class_hinge(context, Tensor::zeros({1, 3}, DType::f32), {ints({3})}), Error);
  EXPECT_THROW(ops::squared_loss(context, x, {Tensor::zeros({1, 2, 3}, DType::f32)}), Error);
}

/// Loss and gradients of rows [first, first + count) of a batch of pairs, as one part of it.
struct PairsPart {
  double loss = 0;
  std::vector<double> queries, keys;  ///< Gradients.
};
PairsPart contrastive_part(Peers& peers, const std::vector<Tensor>& pairs, std::int64_t count) {
  const Stream stream;
  Context context(stream, system_allocator(Device::cpu()));
  const ArenaLayout layout;
  PlaneGradients store(layout, {});
  Tape tape(store);
  const StepState state;
  const std::int64_t first = peers.part() * count;
  context.begin_training(
      {.tape = &tape, .state = &state, .peers = &peers, .first_sample = first, .global_rows = pairs[0].shape()[0]});
  const Value queries = tape.watch(pairs[0].slice(first, count).clone());
  const Value keys = tape.watch(pairs[1].slice(first, count).clone());
  const ops::LossResult result = ops::contrastive_loss(context, {queries, keys}, 0.3);
  tape.backward(context, result.loss, 1);
  return {result.loss_sum(), tape.gradient_of(queries).to_vector<double>(), tape.gradient_of(keys).to_vector<double>()};
}

/// Law 1: every query is compared with the keys of all parts.
TEST(ContrastiveLoss, IsTheSameForAnyNumberOfParts) {
  std::vector<Tensor> pairs;
  for (const int seed : {1, 2}) {
    std::vector<double> values;
    for (int i = 0; i < 12 * 5; ++i) values.push_back(std::sin(seed + 1.7 * i));
    pairs.push_back(Tensor::from(values, {12, 5}));
  }
  SinglePeer alone;
  const PairsPart whole = contrastive_part(alone, pairs, 12);
  for (const int parts : {2, 3}) {
    ThreadPeers::Shared shared(parts);
    std::vector<PairsPart> results(static_cast<std::size_t>(parts));
    {
      std::vector<std::jthread> threads;
      for (int part = 0; part < parts; ++part)
        threads.emplace_back([&, part] {
          ThreadPeers peers(shared, part);
          results[static_cast<std::size_t>(part)] = contrastive_part(peers, pairs, 12 / parts);
        });
    }
    PairsPart joined;
    for (const PairsPart& one : results) {
      joined.loss += one.loss;
      joined.queries.insert(joined.queries.end(), one.queries.begin(), one.queries.end());
      joined.keys.insert(joined.keys.end(), one.keys.begin(), one.keys.end());
    }
    EXPECT_NEAR(joined.loss, whole.loss, 1e-12 * whole.loss);
    ASSERT_EQ(joined.keys.size(), whole.keys.size());
    for (std::size_t i = 0; i < whole.keys.size(); ++i) {
      EXPECT_NEAR(joined.queries[i], whole.queries[i], 1e-12) << parts << " parts, query " << i;
      EXPECT_NEAR(joined.keys[i], whole.keys[i], 1e-12) << parts << " parts, key " << i;
    }
  }
}

}  // namespace
}  // namespace trireme
