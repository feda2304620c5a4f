// Parameter groups, whole-parameter updates over ranges, the average of weights, plateaus and early stopping; the
// kernels of whole updates on teams.
#include <gtest/gtest.h>

#include <cmath>

#include "core/kernels/optimizer.hpp"
#include "core/kernels/whole_update.hpp"
#include "core/optim/optimizer.hpp"
#include "core/optim/schedule.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

using O = OptimizerOptions;

TEST(ParameterGroups, AStarStandsForAnyText) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("*.bias", "features.3.bias"));
  EXPECT_TRUE(matches("a*b*c", "a-b-b-c"));
  EXPECT_TRUE(matches("layer.?.w*", "layer.1.weight"));
  EXPECT_FALSE(matches("*.bias", "bias"));
  EXPECT_FALSE(matches("a*b", "abc"));
  EXPECT_FALSE(matches("", "a"));
}

TEST(ParameterGroups, AreReadFromTextOrNamedAsWrong) {
  const auto groups = parse_parameter_groups("embed*:rate=0.5,decay=0;head.*:frozen");
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].rate, 0.5);
  EXPECT_EQ(groups[0].weight_decay, 0.0);
  EXPECT_EQ(groups[1].training, ParameterGroup::Training::frozen);
  EXPECT_EQ(group_of(groups, "head.weight"), &groups[1]);
  EXPECT_EQ(group_of(groups, "body"), nullptr);
  for (const char* wrong : {"a", ":rate=1", "a:", "a:rate", "a:rate=x", "a:rate=-1", "a:rate=nan", "a:speed=1"}) {
    try {
      parse_parameter_groups(wrong);
      ADD_FAILURE() << wrong << " was read";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_NE(std::string(error.what()).find(wrong), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(require_matched(groups, {"embedding"}), Error);
  require_matched(groups, {"embedding", "head.weight"});
}

struct Net : Module {
  Parameter weight{{5, 3}, Initializer::normal(1)}, other{{3, 4}, Initializer::normal(1)};
  Parameter bias{{6}, Initializer::normal(1), Decay::no};
  Value forward(Context&, const Value& x) override { return x; }
  void parts(Visitor& visit) override {
    visit("weight", weight);
    visit("other", other);
    visit("bias", bias);
  }
};

struct Planned {
  explicit Planned(DType dtype = DType::f64)
      : layout(plan_arena(net, {.dtype = dtype}, [](Context&) {})),
        planes(allocate_planes(layout, Device::cpu(), system_allocator(Device::cpu()))) {
    materialize(net, layout, planes, 3);
    for (const ArenaEntry& entry : layout.entries())
      for (std::int64_t k = entry.offset; k < entry.offset + entry.count; ++k)
        with_floating(planes.grad.dtype(), "test", [&](auto zero) {
          planes.grad.span<decltype(zero)>()[static_cast<std::size_t>(k)] =
              static_cast<decltype(zero)>(std::sin(0.3 * static_cast<double>(k)));
        });
  }
  std::vector<double> values(const std::string& name) const {
    for (const ArenaEntry& entry : layout.entries())
      if (entry.name == name) return planes.values().slice(entry.offset, entry.count).to_vector<double>();
    return {};
  }
  Net net;
  ArenaLayout layout;
  Planes planes;
  Stream stream;
};

TEST(ParameterGroups, ChangeRateAndDecayOfTheirParametersOnly) {
  Planned plain, grouped, slower;
  const O base{.kind = O::Kind::adamw, .weight_decay = 0.1};
  O with_groups = base;
  with_groups.groups = parse_parameter_groups("weight:rate=0.5,decay=0.3");
  Optimizer a(base, plain.layout, plain.planes), b(with_groups, grouped.layout, grouped.planes);
  Optimizer c({.kind = O::Kind::adamw, .weight_decay = 0.3}, slower.layout, slower.planes);
  const StepState state{.rate = 0.1}, half{.rate = 0.05};
  a.step(plain.stream, &state);
  b.step(grouped.stream, &state);
  c.step(slower.stream, &half);
  EXPECT_EQ(grouped.values("other"), plain.values("other"));
  EXPECT_EQ(grouped.values("bias"), plain.values("bias"));
  EXPECT_EQ(grouped.values("weight"), slower.values("weight"));
}

class WholeUpdates : public testing::TestWithParam<O::Kind> {};

TEST_P(WholeUpdates, RefuseARangeThatCutsAParameter) {
  Planned s;
  Optimizer optimizer({.kind = GetParam()}, s.layout, s.planes);
  const ArenaEntry& first = s.layout.entries()[0];
  const StepState state{.rate = 0.1};
  try {
    optimizer.step_range(s.stream, &state, 0, first.offset + 2);
    FAIL() << "a range of half a parameter was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("cut weight"), std::string::npos) << error.what();
  }
}

TEST_P(WholeUpdates, RangesOfWholeParametersTogetherAreTheWhole) {
  Planned whole, parts;
  const O options{.kind = GetParam(), .weight_decay = 0.1};
  Optimizer a(options, whole.layout, whole.planes), b(options, parts.layout, parts.planes);
  const StepState state{.rate = 0.1};
  a.step(whole.stream, &state);
  const std::int64_t middle = parts.layout.entries()[1].offset;
  b.step_range(parts.stream, &state, middle, parts.layout.trained_elements() - middle);
  b.step_range(parts.stream, &state, 0, middle);
  EXPECT_EQ(whole.planes.param.to_vector<double>(), parts.planes.param.to_vector<double>());
}

TEST_P(WholeUpdates, ASkippedStepLeavesEverythingAsItIs) {
  Planned s;
  Optimizer optimizer({.kind = GetParam(), .weight_decay = 0.1}, s.layout, s.planes);
  const auto before = s.planes.param.to_vector<double>();
  s.planes.grad.span<double>()[0] = NAN;
  const StepState state{.rate = 0.1, .skip = 1};
  optimizer.step(s.stream, &state);
  EXPECT_EQ(s.planes.param.to_vector<double>(), before);
  for (const NamedPlane& moment : optimizer.state_planes())
    for (const double m : moment.plane.to_vector<double>()) EXPECT_EQ(m, 0);
}

/// A gradient of zeros is divided by a variance of zero.
TEST_P(WholeUpdates, AParameterWithoutGradientStaysFinite) {
  Planned s;
  s.planes.grad.fill_zero();
  Optimizer optimizer({.kind = GetParam()}, s.layout, s.planes);
  const auto before = s.planes.param.to_vector<double>();
  const StepState state{.rate = 0.1};
  optimizer.step(s.stream, &state);
  EXPECT_EQ(s.planes.param.to_vector<double>(), before);
}

TEST_P(WholeUpdates, ParametersOfSixteenBitsAreTheRoundedMasters) {
  Planned s(DType::bf16);
  Optimizer optimizer({.kind = GetParam(), .weight_decay = 0.1}, s.layout, s.planes);
  const auto before = s.planes.master.to_vector<float>();
  const StepState state{.rate = 0.1};
  optimizer.step(s.stream, &state);
  const auto masters = s.planes.master.to_vector<float>();
  const auto rounded = s.planes.param.to_vector<BFloat16>();
  EXPECT_NE(masters, before);
  for (std::size_t k = 0; k < masters.size(); ++k)
    ASSERT_EQ(static_cast<float>(rounded[k]), static_cast<float>(BFloat16(masters[k]))) << k;
}

INSTANTIATE_TEST_SUITE_P(Kinds, WholeUpdates, testing::Values(O::Kind::lamb, O::Kind::adafactor, O::Kind::muon));

TEST(WeightAverage, FollowsTheWeightsAndChangesPlacesWithThem) {
  Planned s;
  const WeightAverage average(0.75, s.planes);
  const auto first = s.planes.param.to_vector<double>();
  std::vector<double> want = first;
  for (int step = 0; step < 3; ++step) {
    for (double& value : s.planes.param.span<double>()) value += 1;
    const StepState state{.skip = step == 1 ? 1u : 0u};
    average.step(s.stream, &state);
    for (std::size_t k = 0; k < want.size(); ++k)
      if (step != 1) want[k] = 0.75 * want[k] + 0.25 * (first[k] + step + 1);
  }
  const auto got = average.plane().to_vector<double>(), weights = s.planes.param.to_vector<double>();
  for (std::size_t k = 0; k < want.size(); ++k) ASSERT_NEAR(got[k], want[k], 1e-12);
  average.exchange(s.stream);
  EXPECT_EQ(s.planes.param.to_vector<double>(), got);
  average.exchange(s.stream);
  EXPECT_EQ(s.planes.param.to_vector<double>(), weights);
  EXPECT_EQ(average.plane().to_vector<double>(), got);
}

TEST(Plateau, TheRateFallsAfterValidationsWithoutImprovement) {
  const Plateau plateau{.patience = 2, .factor = 0.5};
  Plateau::State state;
  std::vector<double> scales;
  for (const double loss : {3.0, 2.0, 2.0, 2.5, 2.4, 1.0, static_cast<double>(NAN), 5.0}) {
    plateau.observe(state, loss);
    scales.push_back(state.scale);
  }
  EXPECT_EQ(scales, (std::vector<double>{1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25}));
  EXPECT_EQ(state.improvement.best, 1.0);
}

TEST(Schedules, FallAfterTheirWarmUpAndKeepTheirFloor) {
  for (const auto kind : {Schedule::Kind::linear, Schedule::Kind::polynomial}) {
    const Schedule s{.kind = kind, .rate = 1, .warmup = 4, .total = 14, .floor = 0.2};
    EXPECT_EQ(s.at(0), 0.25);
    EXPECT_EQ(s.at(4), 1);
    EXPECT_NEAR(s.at(9), kind == Schedule::Kind::linear ? 0.6 : 0.4, 1e-12);
    EXPECT_NEAR(s.at(14), 0.2, 1e-12);
    EXPECT_NEAR(s.at(1000), 0.2, 1e-12);
  }
}

class WholeKernels : public testing::TestWithParam<int> {};

TEST_P(WholeKernels, RowsAndPacesAreThoseOfPlainLoops) {
  const std::int64_t rows = 6, columns = 37;
  const test::Values g = test::normal_values(rows * columns, 1);
  const auto in = test::as<double>(g);
  const StepState state{.step = 3, .rate = 0.1};
  auto averages = test::as<double>(test::normal_values(rows, 2));
  const auto before = averages;
  test::run_rows(GetParam(), rows, kernels::AdafactorRows<double>{in.data(), averages.data(), &state, columns, -0.8});
  double mean = 0, whole = 0;
  for (std::size_t row = 0; row < averages.size(); ++row) {
    double squares = 0;
    for (std::int64_t c = 0; c < columns; ++c) {
      const double value = g[row * static_cast<std::size_t>(columns) + static_cast<std::size_t>(c)];
      squares += value * value;
    }
    const double want = before[row] + std::pow(4, -0.8) * (squares / static_cast<double>(columns) - before[row]);
    EXPECT_NEAR(averages[row], want, 1e-12);
    mean += want / static_cast<double>(rows);
    whole += squares;
  }
  double found = NAN, pace = NAN;
  test::run_rows(GetParam(), 1, kernels::AdafactorMean<double>{averages.data(), &found, rows});
  EXPECT_NEAR(found, mean, 1e-12);
  const std::vector<double> of_value{4, 5, 7}, of_direction{whole, 1, 2};
  const auto pace_of = [&](kernels::Pace kind) {
    test::run_rows(GetParam(), 1,
                   kernels::FindPace<double>{of_value.data(), of_direction.data(), &pace, &state, 3, 50, 2.0, kind});
    return pace;
  };
  const double direction = std::sqrt(whole + 3);
  EXPECT_NEAR(pace_of(kernels::Pace::lamb), 0.2 * 4 / direction, 1e-12);
  EXPECT_NEAR(pace_of(kernels::Pace::inverse), 1 / (direction + 1e-7), 1e-12);
  EXPECT_NEAR(pace_of(kernels::Pace::adafactor), 0.2 * (4 / std::sqrt(50)) / std::max(1.0, direction / std::sqrt(50)),
              1e-12);
}

INSTANTIATE_TEST_SUITE_P(Lanes, WholeKernels, testing::Values(1, 3, 4, 32));

}  // namespace
}  // namespace trireme
