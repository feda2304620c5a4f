// The decision of a step: its message, clipping and skipping against the formulas, on every device and team; what is
// not finite, has no target or stands out leaves parameters as they are.
#include "core/optim/step_control.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/devices.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Squares of 0, 1, 2 ... over several pieces of the norm, and a rest.
constexpr std::int64_t element_count = 3 * 65536 + 17;

class StepControlTest : public test::DeviceTest {
 protected:
  Stream stream() const { return Stream(device()); }
  Tensor number(double value) const { return Tensor::from(std::vector<double>{value}, {1}, device()); }
  Tensor plane(float last) const {
    std::vector<float> values(element_count);
    for (std::size_t k = 0; k < values.size(); ++k) values[k] = static_cast<float>(k % 7) - 2.0f;
    values.back() = last;
    return Tensor::from(values, {element_count}, device());
  }
  StepState state_of(const StepControl& control) const {
    StepState out;
    copy_bytes({&out, Device::cpu()}, {control.state(), device()}, sizeof out);
    return out;
  }
  /// A step of two micro-batches with these sums of losses.
  StepOutcome decided(StepControl& control, std::pair<double, double> losses, double targets, float last = 1) const {
    return decided_with({.step = 41, .rate = 0.25}, control, losses, {targets, last});
  }
  StepOutcome decided_with(const StepState& host, StepControl& control, std::pair<double, double> losses,
                           std::pair<double, float> targets_and_last) const {
    const auto [targets, last] = targets_and_last;
    const Stream s = stream();
    control.begin(s, host);
    control.add(s, Tensor::from(std::vector<float>{static_cast<float>(losses.first)}, {1}, device()),
                number(targets / 4));
    control.add(s, number(losses.second), number(targets * 3 / 4));
    control.add_norm(s, plane(last));
    control.decide(s);
    return control.outcome();
  }
};
TRIREME_FOR_EACH_DEVICE(StepControlTest);

double norm_of_plane() {
  double squares = 1;
  for (std::int64_t k = 0; k + 1 < element_count; ++k) {
    const double x = static_cast<double>(k % 7) - 2;
    squares += x * x;
  }
  return std::sqrt(squares);
}

TEST_P(StepControlTest, MeansAreOverTheExactTargetsAndTheNormIsClipped) {
  const double norm = norm_of_plane();
  StepControl control(device(), {.nominal = 64, .clip = 2});
  StepOutcome outcome = decided(control, {20, 30}, 32);
  EXPECT_DOUBLE_EQ(outcome.loss, 50.0 / 32);
  EXPECT_DOUBLE_EQ(outcome.exact, 2.0);
  EXPECT_NEAR(outcome.gradient_norm, norm * 2, 1e-9 * norm);
  EXPECT_EQ(outcome.skip, 0u);
  StepState state = state_of(control);
  EXPECT_EQ(state.step, 41);
  EXPECT_EQ(state.rate, 0.25);
  EXPECT_EQ(state.skip, 0u);
  EXPECT_NEAR(state.gradient_scale, 2.0 / (norm * 2) * 2.0, 1e-12);
  // The next step begins from nothing, and without a limit nothing is clipped.
  StepControl open(device(), {.nominal = 64});
  decided(open, {1, 2}, 16);
  outcome = decided(open, {20, 30}, 32);
  EXPECT_DOUBLE_EQ(outcome.loss, 50.0 / 32);
  EXPECT_DOUBLE_EQ(state_of(open).gradient_scale, 2.0);
}

TEST_P(StepControlTest, WhatCannotBeUsedIsSkipped) {
  StepControl control(device(), {.nominal = 64, .clip = 1});
  const auto skips = [&](std::pair<double, double> losses, double targets, float last = 1) {
    const StepOutcome outcome = decided(control, losses, targets, last);
    EXPECT_EQ(outcome.skip, state_of(control).skip);
    EXPECT_EQ(outcome.broken > 0, outcome.skip != 0 && targets > 0);
    return outcome.skip != 0;
  };
  EXPECT_TRUE(skips({NAN, 1}, 8));
  EXPECT_TRUE(skips({1, infinity}, 8));
  EXPECT_TRUE(skips({1, 1}, 8, std::numeric_limits<float>::infinity()));
  EXPECT_TRUE(skips({1, 1}, 8, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_TRUE(skips({0, 0}, 0));
  EXPECT_FALSE(skips({1, 1}, 8)) << "a bad step must not stay";
}

TEST_P(StepControlTest, TheLossScaleIsTakenOutOfNormAndGradients) {
  StepControl plain(device(), {.nominal = 64, .clip = 1}), scaled(device(), {.nominal = 64, .clip = 1});
  const StepOutcome without = decided(plain, {20, 30}, 32);
  const StepOutcome with = decided_with({.loss_scale = 1024}, scaled, {20, 30}, {32, 1});
  EXPECT_DOUBLE_EQ(with.gradient_norm, without.gradient_norm / 1024);
  EXPECT_EQ(with.loss, without.loss);
  EXPECT_EQ(state_of(scaled).loss_scale, 1024);
}

TEST_P(StepControlTest, TheHostCanStillSkipAndItsOwnNumbersStay) {
  StepControl control(device(), {.nominal = 8, .extra = 2});
  const Tensor extra = control.message().slice(StepMessage::count, 2);
  extra.copy_from(Tensor::from(std::vector<double>{3, 4}, {2}));
  EXPECT_EQ(decided(control, {1, 1}, 8).skip, 0u);
  control.skip(stream());
  EXPECT_EQ(state_of(control).skip, 1u);
  EXPECT_EQ(extra.to_vector<double>(), (std::vector<double>{3, 4}));
}

class StepControlTeams : public testing::TestWithParam<int> {};

TEST_P(StepControlTeams, EveryTeamAddsTheSameNormAndWritesOnce) {
  const int lanes = GetParam();
  std::vector<double> partial(77), message(StepMessage::count, 0.0);
  double want = 0;
  for (std::size_t k = 0; k < partial.size(); ++k) want += partial[k] = static_cast<double>(k * k % 11);
  StepState state{.skip = 1};
  StepOutcome outcome;
  test::run_rows(lanes, 1, kernels::BeginStep{&state, message.data(), 7, 0.5, 2});
  const float loss = 3;
  const double targets = 4;
  test::run_rows(lanes, 1, kernels::AddLoss<float>{&loss, &targets, message.data()});
  test::run_rows(lanes, 1, kernels::AddLoss<float>{&loss, &targets, message.data()});
  test::run_rows(lanes, 1, kernels::AddNorm{partial.data(), std::ssize(partial), message.data()});
  EXPECT_EQ(message, (std::vector<double>{want, 8, 6, 0}));
  test::run_rows(lanes, 1, kernels::DecideStep{message.data(), &state, &outcome, 16, 0});
  EXPECT_EQ(state.gradient_scale, 1.0);
  EXPECT_EQ(outcome.loss, 6.0 / 8);
  EXPECT_EQ(outcome.gradient_norm, std::sqrt(want));
  test::run_rows(lanes, 1, kernels::SkipStep{&state});
  EXPECT_EQ(state.skip, 1u);
}
INSTANTIATE_TEST_SUITE_P(Lanes, StepControlTeams, testing::Values(1, 3, 4, 32));

}  // namespace
}  // namespace trireme
