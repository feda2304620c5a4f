// The kernels of along.hpp on teams of 1, 3, 4 and 32 lanes against plain loops.
#include "core/kernels/along.hpp"

#include <numeric>

#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

class AlongTeams : public testing::TestWithParam<test::LanesAndWidth> {
 protected:
  const int lanes = GetParam().lanes;
  const std::int64_t features = GetParam().features, rows = 5, count = 13;
  const test::Values x = test::normal_values(rows * features, 1), taken = test::normal_values(rows * count, 2);
  /// Some outside on both sides, some twice.
  std::vector<std::int32_t> index() const {
    std::vector<std::int32_t> out;
    for (std::int64_t i = 0; i < rows * count; ++i)
      out.push_back(static_cast<std::int32_t>((i * 7) % (features + 2) - 1));
    return out;
  }
  std::size_t at(std::int64_t row, std::int64_t c) const { return static_cast<std::size_t>(row * features + c); }
  bool exists(std::int32_t c) const { return c >= 0 && c < features; }
};

TEST_P(AlongTeams, TakeAlongReadsByIndexAndAdds) {
  const auto in = test::as<float>(x);
  const auto places = index();
  auto y = test::as<float>(taken);
  test::run_rows(lanes, rows, kernels::TakeAlong<float>{in.data(), places.data(), y.data(), features, count, 9, 1});
  for (std::size_t j = 0; j < y.size(); ++j) {
    const auto row = static_cast<std::int64_t>(j) / count;
    const double found = exists(places[j]) ? x[at(row, places[j])] : 9;
    ASSERT_NEAR(y[j], taken[j] + found, 1e-6) << j;
  }
}

TEST_P(AlongTeams, ScatterAlongAddsByIndex) {
  const auto in = test::as<double>(taken);
  const auto places = index();
  for (const double beta : {0.0, 1.0}) {
    auto y = beta == 0 ? test::unset<double>(rows * features) : test::as<double>(x);
    test::Values want = beta == 0 ? test::Values(y.size(), 0.0) : x;
    test::run_rows(lanes, rows,
                   kernels::ScatterAlong<double>{in.data(), places.data(), y.data(), features, count, beta});
    for (std::size_t j = 0; j < places.size(); ++j)
      if (exists(places[j])) want[at(static_cast<std::int64_t>(j) / count, places[j])] += taken[j];
    test::expect_near(y, want, 1e-12, "scattered");
  }
}

TEST_P(AlongTeams, TopKIsTheStartOfTheSortedRow) {
  auto in = test::as<float>(x);
  in[at(1, 0)] = NAN;
  in[at(2, features - 1)] = in[at(2, 0)] = 7;  // equal ones
  in[at(3, features / 2)] = -INFINITY;
  const std::int64_t k = std::min<std::int64_t>(4, features);
  for (const float sign : {1.0f, -1.0f}) {
    auto value = test::unset<float>(rows * k);
    std::vector<std::int32_t> places(value.size(), -7);
    test::run_rows(lanes, rows, kernels::TopK<float>{in.data(), value.data(), places.data(), features, k, sign});
    for (std::int64_t row = 0; row < rows; ++row) {
      std::vector<std::int32_t> order(static_cast<std::size_t>(features));
      std::iota(order.begin(), order.end(), 0);
      std::erase_if(order, [&](std::int32_t c) { return std::isnan(in[at(row, c)]); });
      std::stable_sort(order.begin(), order.end(),
                       [&](std::int32_t a, std::int32_t b) { return sign * in[at(row, a)] > sign * in[at(row, b)]; });
      order.resize(static_cast<std::size_t>(features), -1);
      for (std::int64_t j = 0; j < k; ++j) {
        const auto place = static_cast<std::size_t>(row * k + j);
        ASSERT_EQ(places[place], order[static_cast<std::size_t>(j)]) << "row " << row << " place " << j;
        if (places[place] >= 0) {
          ASSERT_EQ(value[place], in[at(row, places[place])]);
        } else {
          ASSERT_TRUE(std::isnan(value[place]));
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(LanesAndWidths, AlongTeams, test::lanes_and_widths(), test::name_of_case);

TEST(AlongElements, WhereChoosesAndItsGradientGoesToTheChosen) {
  const std::int64_t n = 29;
  const test::Values a = test::normal_values(n, 1), b = test::normal_values(n, 2), old = test::normal_values(n, 3);
  std::vector<std::uint8_t> condition;
  for (std::int64_t i = 0; i < n; ++i) condition.push_back(static_cast<std::uint8_t>(i % 3));
  const auto left = test::as<float>(a), right = test::as<float>(b);
  auto y = test::unset<float>(n);
  test::run_elements(n, kernels::Where<float>{condition.data(), left.data(), right.data(), y.data()});
  for (const std::uint32_t side : {0u, 1u}) {
    auto dx = test::as<float>(old);
    test::run_elements(n, kernels::WhereGradient<float>{condition.data(), left.data(), dx.data(), side, 1});
    for (std::size_t i = 0; i < y.size(); ++i) {
      const bool yes = condition[i] != 0;
      ASSERT_EQ(y[i], yes ? left[i] : right[i]) << i;
      ASSERT_NEAR(dx[i], old[i] + (yes == (side == 1) ? a[i] : 0), 1e-6) << i;
    }
  }
}

TEST(AlongElements, RunningSumsAreThoseOfOnePass) {
  const std::int64_t rows = 3, features = 23;
  const test::Values x = test::normal_values(rows * features, 4);
  const auto in = test::as<double>(x);
  for (const std::int64_t each : {5, 64})
    for (const std::uint32_t reverse : {0u, 1u}) {
      const kernels::Runs runs{features, (features + each - 1) / each, each, reverse};
      std::vector<double> totals(static_cast<std::size_t>(rows * runs.runs), NAN);
      auto y = test::unset<double>(rows * features);
      test::run_elements(rows * runs.runs, kernels::RunTotals<double>{in.data(), totals.data(), runs});
      test::run_elements(rows * runs.runs, kernels::RunSums<double>{in.data(), totals.data(), y.data(), runs, 0});
      test::Values want(x.size());
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t c = 0; c < features; ++c) {
          const auto begin = x.begin() + row * features;
          want[static_cast<std::size_t>(row * features + c)] =
              reverse ? std::accumulate(begin + c, begin + features, 0.0) : std::accumulate(begin, begin + c + 1, 0.0);
        }
      test::expect_near(y, want, 1e-12, "running sums");
    }
}

}  // namespace
}  // namespace trireme
