// The kernels of losses.hpp and ctc.hpp on teams of 1, 3, 4 and 32 lanes against plain loops; CTC against the sum over
// every path.
#include "core/kernels/losses.hpp"

#include "core/kernels/ctc.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

class LossTeams : public testing::TestWithParam<test::LanesAndWidth> {
 protected:
  const int lanes = GetParam().lanes;
  const std::int64_t features = GetParam().features, rows = 4;
  const test::Values x = test::normal_values(rows * features, 1), t = test::normal_values(rows * features, 2);
  const std::vector<float> weights{1, 0, 0.5, 2};
  std::size_t at(std::int64_t row, std::int64_t c) const { return static_cast<std::size_t>(row * features + c); }
};

TEST_P(LossTeams, APointLossAndItsGradientAreThoseOfPlainLoops) {
  const auto in = test::as<float>(x), target = test::as<float>(t);
  std::vector<double> totals(static_cast<std::size_t>(3 * rows), NAN);
  const kernels::LossRows<float> of{weights.data(), totals.data(), rows, features};
  const kernels::SmoothL1Loss<float> f{0.75f};
  const float dloss = 3;
  auto dx = test::unset<float>(rows * features);
  test::run_rows(lanes, rows,
                 kernels::PointLoss<float, kernels::SmoothL1Loss<float>>{of, in.data(), target.data(), 7, f});
  test::run_rows(lanes, rows,
                 kernels::PointLossGradient<float, kernels::SmoothL1Loss<float>>{of, in.data(), target.data(), &dloss,
                                                                                 dx.data(), 0, f});
  test::Values want(dx.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    const double weight = weights[static_cast<std::size_t>(row)];
    double loss = 0;
    for (std::int64_t c = 0; c < features; ++c) {
      const double d = x[at(row, c)] - t[at(row, c)], size = std::abs(d);
      loss += size < 0.75 ? d * d / 1.5 : size - 0.375;
      want[at(row, c)] = 3 * weight * (size < 0.75 ? d / 0.75 : (d > 0 ? 1 : -1));
    }
    EXPECT_NEAR(totals[static_cast<std::size_t>(row)], weight * loss, 1e-4 * (1 + loss));
    EXPECT_EQ(totals[static_cast<std::size_t>(rows + row)], 7 * weight);
  }
  test::expect_near(dx, want, 1e-5, "gradient");
}

TEST_P(LossTeams, TheMultiClassHingeLossIsThatOfPlainLoops) {
  const auto in = test::as<double>(x);
  const std::vector<std::int32_t> labels{0, static_cast<std::int32_t>(features - 1),
                                         static_cast<std::int32_t>(features / 2),
                                         static_cast<std::int32_t>(features / 3)};
  std::vector<double> totals(static_cast<std::size_t>(3 * rows), NAN);
  const kernels::MarginLoss<double> forward{
      {weights.data(), totals.data(), rows, features}, in.data(), labels.data(), 0.5};
  auto dx = test::unset<double>(rows * features);
  const double dloss = 2;
  test::run_rows(lanes, rows, forward);
  test::run_rows(lanes, rows, kernels::MarginLossGradient<double>{forward, &dloss, dx.data(), 0});
  test::Values want(dx.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto r = static_cast<std::size_t>(row);
    const std::int64_t label = labels[r];
    double loss = 0;
    for (std::int64_t c = 0; c < features; ++c) {
      const double over = 0.5 - x[at(row, label)] + x[at(row, c)];
      if (c == label || over <= 0) continue;
      loss += over / static_cast<double>(features);
      const double step = 2 * weights[r] / static_cast<double>(features);
      want[at(row, c)] += step;
      want[at(row, label)] -= step;
    }
    EXPECT_NEAR(totals[r], weights[r] * loss, 1e-10 * (1 + loss));
  }
  test::expect_near(dx, want, 1e-10, "gradient");
}

INSTANTIATE_TEST_SUITE_P(LanesAndWidths, LossTeams, test::lanes_and_widths(), test::name_of_case);

/// Two samples of up to 4 frames and 3 classes, whose paths can all be listed.
struct CtcProblem {
  static constexpr std::int64_t batch = 2, time = 4, classes = 3, most = 2;
  std::vector<double> x = test::normal_values(batch * time * classes, 5);
  std::vector<std::int32_t> labels{1, 1, 2, 0}, frames{4, 3}, targets{2, 1};

  /// What a path spells: repeats joined, then blanks taken out.
  static std::vector<std::int32_t> spelt(const std::vector<std::int32_t>& path) {
    std::vector<std::int32_t> out;
    for (std::size_t k = 0; k < path.size(); ++k)
      if (path[k] != 0 && (k == 0 || path[k] != path[k - 1])) out.push_back(path[k]);
    return out;
  }
  /// Adds up the paths of a sample; calls visit(path, probability) for those that spell the target.
  template <class F>
  void for_each_path(std::int64_t b, F visit) const {
    const auto n = static_cast<std::size_t>(frames[static_cast<std::size_t>(b)]);
    const auto first = labels.begin() + b * most;
    const std::vector<std::int32_t> wanted(first, first + targets[static_cast<std::size_t>(b)]);
    std::int64_t paths = 1;
    for (std::size_t k = 0; k < n; ++k) paths *= classes;
    for (std::int64_t number = 0; number < paths; ++number) {
      std::vector<std::int32_t> path;
      double logarithm = 0;
      for (std::int64_t k = 0, rest = number; k < static_cast<std::int64_t>(n); ++k, rest /= classes) {
        path.push_back(static_cast<std::int32_t>(rest % classes));
        logarithm += x[static_cast<std::size_t>((b * time + k) * classes + rest % classes)];
      }
      if (spelt(path) == wanted) visit(path, std::exp(logarithm));
    }
  }
};

class CtcTeams : public testing::TestWithParam<int> {};

TEST_P(CtcTeams, LossAndGradientAreThoseOfAllPaths) {
  CtcProblem p;
  const std::int64_t states = 2 * p.most + 1;
  std::vector<double> alpha(static_cast<std::size_t>(p.batch * p.time * states), NAN), totals(6, NAN);
  std::vector<double> scratch(static_cast<std::size_t>(p.batch * 3 * states), NAN), dx(p.x.size(), NAN);
  const kernels::CtcRows<double> rows{
      p.x.data(), p.labels.data(), p.frames.data(), p.targets.data(), nullptr, alpha.data(),
      p.batch,    p.time,          p.classes,       p.most,           0,       0};
  const double dloss = 1.5;
  test::run_rows(GetParam(), p.batch, kernels::CtcForward<double>{rows, totals.data()});
  test::run_rows(GetParam(), p.batch, kernels::CtcGradient<double>{rows, scratch.data(), &dloss, dx.data(), 0});
  for (std::int64_t b = 0; b < p.batch; ++b) {
    double whole = 0;
    p.for_each_path(b, [&](const auto&, double probability) { whole += probability; });
    EXPECT_NEAR(totals[static_cast<std::size_t>(b)], -std::log(whole), 1e-12);
    test::Values want(static_cast<std::size_t>(p.time * p.classes));
    p.for_each_path(b, [&](const std::vector<std::int32_t>& path, double probability) {
      for (std::size_t t = 0; t < path.size(); ++t)
        want[t * static_cast<std::size_t>(p.classes) + static_cast<std::size_t>(path[t])] -= 1.5 * probability / whole;
    });
    const auto first = dx.begin() + b * p.time * p.classes;
    test::expect_near(std::vector<double>(first, first + p.time * p.classes), want, 1e-12, "gradient");
  }
}

INSTANTIATE_TEST_SUITE_P(Lanes, CtcTeams, testing::Values(1, 3, 4, 32));

}  // namespace
}  // namespace trireme
