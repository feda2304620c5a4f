// Batch normalisation: gradients, values, running statistics; a batch split into parts that run in threads gives what
// the whole batch gives, synchronised and in ghost groups, forward and backward.
#include "core/ops/batch_norm.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "tests/support/devices.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/messages.hpp"
#include "tests/support/thread_peers.hpp"

namespace trireme {
namespace {

using ops::BatchNormOptions;

ops::RunningStatistics fresh_running(std::int64_t channels, DType of_input, Device device) {
  const DType dtype = accum_dtype(of_input);
  if (device.is_meta()) return {Tensor::empty({channels}, dtype, device), Tensor::empty({channels}, dtype, device)};
  return with_wide_floating(dtype, "ones", [&](auto zero) -> ops::RunningStatistics {
    const std::vector<decltype(zero)> ones(static_cast<std::size_t>(channels), 1);
    return {Tensor::zeros({channels}, dtype, device), Tensor::from(ones, {channels}, device)};
  });
}

GradientCase norm(const char* variant, const Shape& x, const BatchNormOptions& options = {}) {
  const std::int64_t channels = x[-1];
  return {.op = "batch_norm",
          .variant = variant,
          .shapes = {x, {channels}, {channels}},
          .function =
              [=](Context& c, const Inputs& in) {
                return ops::batch_norm(
                    c, in[0],
                    {.gain = in[1], .bias = in[2], .running = fresh_running(channels, in[0].dtype(), c.device())},
                    options);
              },
          .tolerance = 2e-7};
}

const GradientCases rows({
    norm("", {7, 5}),
    norm("images", {3, 4, 5, 3}),
    norm("many_channels", {6, 37}),
    norm("many_rows", {150, 2}),
    norm("ghost", {6, 2, 3, 4}, {.statistics = ops::GhostGroups{2}}),
    norm("relu", {9, 18}, {.activation = ops::Activation::relu}),
    norm("ghost_relu", {6, 2, 2, 3}, {.statistics = ops::GhostGroups{3}, .activation = ops::Activation::relu}),
    norm("tanh", {9, 3}, {.activation = ops::Activation::tanh}),
});

class NoStore final : public GradientStore {
 public:
  Destination acquire(Parameter&) override { fail(ExitCode::failure, "there are no parameters here"); }
  void ready(Parameter&) override {}
};

struct PartResult {
  std::vector<double> y, dx, dgain, dbias, mean, variance;
};

/// One part's forward and backward pass with samples [first, first + count) of `x`; the gradient of y is `dy`.
struct Batch {
  Tensor x, dy, gain, bias;
};
PartResult run_part(const Batch& batch, std::pair<std::int64_t, std::int64_t> part, Peers& peers,
                    const BatchNormOptions& o) {
  const auto [first, count] = part;
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  NoStore store;
  Tape tape(store);
  context.begin_training({.tape = &tape, .peers = &peers, .first_sample = first, .global_rows = batch.x.shape()[0]});
  const Value x = tape.watch(batch.x.slice(first, count).clone());
  const Value gain = tape.watch(batch.gain), bias = tape.watch(batch.bias);
  const auto running = fresh_running(batch.x.shape()[-1], batch.x.dtype(), Device::cpu());
  const Value y = ops::batch_norm(context, x, {.gain = gain, .bias = bias, .running = running}, o);
  const Tensor dy = batch.dy.slice(first, count);
  const Value loss = context.record({"weigh", {&y, 1}, [dy](Context&, Gradients& g) { g.hand_over(0, dy.clone()); }},
                                    Tensor::zeros({1}, x.dtype()));
  tape.backward(context, loss, 1);
  return {y.tensor().to_vector<double>(),
          tape.gradient_of(x).to_vector<double>(),
          tape.gradient_of(gain).to_vector<double>(),
          tape.gradient_of(bias).to_vector<double>(),
          running.mean.to_vector<double>(),
          running.variance.to_vector<double>()};
}

Tensor draw(const Shape& shape, unsigned seed) {
  return Tensor::from(test::normal<double>(shape.elements(), seed), shape);
}
Batch draw_batch(const Shape& shape) {
  const Shape channels{shape[-1]};
  return {draw(shape, 1), draw(shape, 2), draw(channels, 3), draw(channels, 4)};
}

void expect_close(const std::vector<double>& found, const std::vector<double>& wanted, const char* what) {
  ASSERT_EQ(found.size(), wanted.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], wanted[i], 1e-12 * (1 + std::abs(wanted[i]))) << what << ", element " << i;
}

void append(std::vector<double>& to, const std::vector<double>& more) { to.insert(to.end(), more.begin(), more.end()); }
void add(std::vector<double>& to, const std::vector<double>& more) {
  to.resize(more.size());
  for (std::size_t i = 0; i < more.size(); ++i) to[i] += more[i];
}

/// Runs the parts in threads; returns the number of messages.
int expect_parts_agree(const Batch& batch, const std::vector<std::int64_t>& counts, const BatchNormOptions& options) {
  SinglePeer alone;
  const PartResult whole = run_part(batch, {0, batch.x.shape()[0]}, alone, options);
  ThreadPeers::Shared shared(static_cast<int>(counts.size()));
  std::vector<PartResult> runs(counts.size());
  {
    std::vector<std::jthread> threads;
    std::int64_t first = 0;
    for (std::size_t p = 0; p < counts.size(); first += counts[p], ++p)
      threads.emplace_back([&, p, first] {
        ThreadPeers peers(shared, static_cast<int>(p));
        runs[p] = run_part(batch, {first, counts[p]}, peers, options);
      });
  }
  PartResult joined;
  for (const PartResult& run : runs) {
    append(joined.y, run.y);
    append(joined.dx, run.dx);
    add(joined.dgain, run.dgain);
    add(joined.dbias, run.dbias);
    EXPECT_EQ(run.mean, runs[0].mean) << "running statistics must be the same in all parts, to the bit";
    EXPECT_EQ(run.variance, runs[0].variance);
  }
  expect_close(joined.y, whole.y, "y");
  expect_close(joined.dx, whole.dx, "dx");
  expect_close(joined.dgain, whole.dgain, "dgain");
  expect_close(joined.dbias, whole.dbias, "dbias");
  expect_close(runs[0].mean, whole.mean, "running mean");
  expect_close(runs[0].variance, whole.variance, "running variance");
  return shared.messages;
}

TEST(BatchNorm, SynchronisedPartsAreTheWholeBatch) {
  const Batch batch = draw_batch({12, 3, 5, 7});
  EXPECT_EQ(expect_parts_agree(batch, {6, 6}, {}), 2) << "one message in forward, one in backward";
  expect_parts_agree(batch, {3, 4, 5}, {});
  expect_parts_agree(batch, {1, 11}, {.activation = ops::Activation::relu});
  expect_parts_agree(draw_batch({200, 19}), {67, 66, 67}, {.momentum = 0.3});
}

TEST(BatchNorm, GhostGroupsDoNotDependOnTheParts) {
  const Batch batch = draw_batch({12, 3, 5, 7});
  EXPECT_EQ(expect_parts_agree(batch, {6, 6}, {.statistics = ops::GhostGroups{2}}), 1) << "running statistics only";
  expect_parts_agree(batch, {3, 3, 6}, {.statistics = ops::GhostGroups{3}, .activation = ops::Activation::relu});
}

TEST(BatchNorm, GhostGroupsMustBeWhole) {
  const Batch batch = draw_batch({12, 4});
  SinglePeer alone;
  const auto of = [&](std::pair<std::int64_t, std::int64_t> part) {
    return message_of([&] { run_part(batch, part, alone, {.statistics = ops::GhostGroups{4}}); });
  };
  EXPECT_EQ(of({4, 8}), "no error");
  EXPECT_NE(of({0, 6}).find("whole groups of 4"), std::string::npos) << of({0, 6});
  EXPECT_NE(of({2, 8}).find("samples 2 to 10"), std::string::npos) << of({2, 8});
}

TEST(BatchNorm, ValuesAndRunningStatistics) {
  const Batch batch{Tensor::from(std::vector<double>{1, 10, 3, 20}, {2, 2}), draw({2, 2}, 2),
                    Tensor::from(std::vector<double>{1, 2}, {2}), Tensor::from(std::vector<double>{0, 5}, {2})};
  SinglePeer alone;
  const PartResult run = run_part(batch, {0, 2}, alone, {.momentum = 0.25, .epsilon = 0});
  expect_close(run.y, {-1, 3, 1, 7}, "y");
  expect_close(run.mean, {0.25 * 2, 0.25 * 15}, "running mean");
  expect_close(run.variance, {0.75 + 0.25 * 2, 0.75 + 0.25 * 50}, "unbiased running variance");
}

TEST(BatchNorm, EvaluationUsesRunningStatisticsAndLeavesThem) {
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  const ops::RunningStatistics running{Tensor::from(std::vector<double>{1, 2}, {2}),
                                       Tensor::from(std::vector<double>{4, 9}, {2})};
  const Tensor x = Tensor::from(std::vector<double>{3, 5, 1, -1}, {2, 2});
  const Tensor gain = Tensor::from(std::vector<double>{1, 2}, {2}), bias = Tensor::from(std::vector<double>{0, 1}, {2});
  const auto y = [&](ops::Activation activation) {
    return ops::batch_norm(context, x, {.gain = gain, .bias = bias, .running = running},
                           {.epsilon = 0, .activation = activation})
        .tensor()
        .to_vector<double>();
  };
  expect_close(y(ops::Activation::none), {1, 3, 0, -1}, "y");
  expect_close(y(ops::Activation::relu), {1, 3, 0, 0}, "y with relu");
  EXPECT_EQ(running.mean.to_vector<double>(), (std::vector<double>{1, 2}));
}

/// The variance of values far from 0 in f32: a difference of sums of squares would have no digit left.
TEST(BatchNorm, IsSoundFarFromZero) {
  const std::int64_t count = 4096;
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(10000.0f + static_cast<float>(i % 2));
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  context.begin_training({.global_rows = count});
  const auto running = fresh_running(1, DType::f32, Device::cpu());
  const std::uint64_t before = running.mean.version();
  const Tensor one = Tensor::from(std::vector<float>{1}, {1}), zero = Tensor::zeros({1}, DType::f32);
  const Tensor y = ops::batch_norm(context, Tensor::from(values, {count, 1}),
                                   {.gain = one, .bias = zero, .running = running}, {.momentum = 1, .epsilon = 0})
                       .tensor();
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(y.span<float>()[i], i % 2 == 0 ? -1 : 1, 1e-6);
  EXPECT_NEAR(running.variance.item(), 0.25 * 4096 / 4095, 1e-6);
  EXPECT_GT(running.mean.version(), before) << "whoever kept the statistics must see that they changed";
}

TEST(BatchNorm, WrongShapesAreNamed) {
  const Stream stream;
  StepAllocator memory(Device::cpu());
  Context context(stream, memory);
  const auto of = [&](const Shape& x, std::int64_t channels, DType dtype) {
    return message_of([&] {
      const Tensor vector = Tensor::zeros({channels}, dtype);
      ops::batch_norm(context, Tensor::zeros(x, DType::f32),
                      {.gain = vector, .bias = vector, .running = {vector, vector}});
    });
  };
  EXPECT_NE(of({4, 3}, 2, DType::f32).find("the gain is (2)"), std::string::npos) << of({4, 3}, 2, DType::f32);
  EXPECT_NE(of({4}, 4, DType::f32).find("not (rows, ..., channels)"), std::string::npos);
  EXPECT_NE(of({4, 3}, 3, DType::f64).find("the gain is f64"), std::string::npos);
}

}  // namespace
}  // namespace trireme
