// What follows a product, on teams of 1, 3, 4 and 32 lanes against plain loops: bias, activation, the kept input.
#include <cmath>
#include <cstring>

#include "core/kernels/product_finish.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

using test::Values;

class ProductKernels : public testing::TestWithParam<test::LanesAndWidth> {};

double gelu(double x) { return x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2; }

template <class T>
void check_finish(const test::LanesAndWidth& row, kernels::Finish finish, double tolerance) {
  constexpr std::int64_t rows = 3;
  const Values x = test::normal_values(rows * row.features, 1), bias = test::normal_values(row.features, 2);
  for (const bool with_bias : {true, false}) {
    Values before(x), wanted(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (with_bias) before[i] += bias[i % static_cast<std::size_t>(row.features)];
      wanted[i] = before[i];
      if (finish == kernels::Finish::relu) wanted[i] = std::max(before[i], 0.0);
      if (finish == kernels::Finish::gelu_tanh_fit) wanted[i] = gelu(before[i]);
    }
    auto y = test::as<T>(x);
    const auto b = test::as<T>(bias);
    auto kept = test::unset<T>(rows * row.features);
    test::run_rows(row.lanes, rows,
                   kernels::ProductFinish<T>{.y = y.data(),
                                             .bias = with_bias ? b.data() : nullptr,
                                             .before = kept.data(),
                                             .features = row.features,
                                             .finish = finish});
    test::expect_near(y, wanted, tolerance, "y");
    test::expect_near(kept, before, tolerance, "before");
    y = test::as<T>(x);
    test::run_rows(row.lanes, rows,
                   kernels::ProductFinish<T>{y.data(), with_bias ? b.data() : nullptr, nullptr, row.features, finish});
    test::expect_near(y, wanted, tolerance, "y alone");
  }
}

TEST_P(ProductKernels, BiasActivationAndWhatItsGradientNeeds) {
  for (const kernels::Finish finish : {kernels::Finish::none, kernels::Finish::relu, kernels::Finish::gelu_tanh_fit}) {
    check_finish<float>(GetParam(), finish, 3e-6);
    check_finish<double>(GetParam(), finish, 1e-13);
  }
}

TEST_P(ProductKernels, ANumberThatIsNoneStaysVisible) {
  std::vector<float> y(static_cast<std::size_t>(GetParam().features), NAN);
  test::run_rows(GetParam().lanes, 1,
                 kernels::ProductFinish<float>{y.data(), nullptr, nullptr, GetParam().features, kernels::Finish::relu});
  for (const float v : y) EXPECT_TRUE(std::isnan(v));
}

/// The accesses of 16 bytes that only a GPU makes, on this host: the same numbers as one by one, at every element where
/// they are allowed and nowhere else.
template <class T>
void check_wide_access() {
  constexpr int n = pack_width<T>;
  const Width<n> width;
  alignas(16) T from[4 * n], to[4 * n], one_by_one[4 * n];
  const Values x = test::normal_values(4 * n, 3);
  for (int k = 0; k < 4 * n; ++k) from[k] = T(static_cast<Accum<T>>(x[static_cast<std::size_t>(k)]));
  int allowed = 0;
  for (int first = 0; first <= 3 * n; ++first) {
    ASSERT_EQ(is_wide(from + first, width), first % n == 0) << first;
    if (!is_wide(from + first, width)) continue;
    ++allowed;
    const auto wide = load_wide(from + first, width), narrow = load(from + first, width);
    for (int k = 0; k < n; ++k) EXPECT_EQ(wide[k], narrow[k]);
    store_wide(to + first, wide);
    store(one_by_one + first, wide);
    EXPECT_EQ(memcmp(to + first, one_by_one + first, 16), 0);
    EXPECT_EQ(memcmp(to + first, from + first, 16), 0);
  }
  EXPECT_EQ(allowed, 4);
  EXPECT_FALSE(is_wide(from, Width<1>{}));
}

TEST(WideAccess, IsWhatOneByOneIs) {
  check_wide_access<float>();
  check_wide_access<double>();
  check_wide_access<BFloat16>();
  check_wide_access<Float16>();
}

INSTANTIATE_TEST_SUITE_P(Teams, ProductKernels,
                         testing::Values(test::LanesAndWidth{1, 37}, test::LanesAndWidth{3, 7},
                                         test::LanesAndWidth{4, 64}, test::LanesAndWidth{32, 1},
                                         test::LanesAndWidth{32, 300}),
                         test::name_of_case);

}  // namespace
}  // namespace trireme
