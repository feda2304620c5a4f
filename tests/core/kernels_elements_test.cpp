// Element kernels in every width, the f32 functions of math.hpp against the library's f64 ones, dropout's draws, the
// optimizers against their formulas in f64.
#include "core/kernels/accumulate.hpp"
#include "core/kernels/activation.hpp"
#include "core/kernels/dropout.hpp"
#include "core/kernels/optimizer.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

using test::as;
using test::expect_near;
using test::unset;
using test::Values;

/// Units in the last place of the f32 next to `want`.
double ulps(float got, double want) {
  const float near = std::abs(static_cast<float>(want));
  if (std::isinf(near) || near == 0) return std::abs(got) == near ? 0 : 1e9;
  return std::abs(static_cast<double>(got) - want) / (static_cast<double>(std::nextafter(near, INFINITY)) - near);
}

TEST(KernelMath, ExpAndTanhAreWithinTwoUlp) {
  double exp_worst = 0, tanh_worst = 0;
  for (double at = -110; at < 95; at += 0.0007) {
    const auto x = static_cast<float>(at);
    exp_worst = std::max(exp_worst, ulps(kernels::exp_of(x), std::exp(static_cast<double>(x))));
    tanh_worst = std::max(tanh_worst, ulps(kernels::tanh_of(x), std::tanh(static_cast<double>(x))));
  }
  for (float x = 1e-30f; x < 3; x *= 1.001f) {
    exp_worst = std::max(exp_worst, ulps(kernels::exp_of(-x), std::exp(-static_cast<double>(x))));
    tanh_worst = std::max(tanh_worst, ulps(kernels::tanh_of(x), std::tanh(static_cast<double>(x))));
  }
  EXPECT_LE(exp_worst, 2);
  EXPECT_LE(tanh_worst, 2);
  EXPECT_TRUE(std::isnan(kernels::exp_of(NAN)));
  EXPECT_TRUE(std::isnan(kernels::tanh_of(NAN)));
  EXPECT_EQ(kernels::exp_of(INFINITY), INFINITY);
  EXPECT_EQ(kernels::exp_of(-INFINITY), 0);
  EXPECT_EQ(kernels::tanh_of(-INFINITY), -1);
}

TEST(KernelMath, NormalDistributionFunction) {
  for (double at = -12; at < 12; at += 0.001) {
    const auto x = static_cast<float>(at);
    ASSERT_NEAR(kernels::normal_cdf(x), kernels::normal_cdf(static_cast<double>(x)), 1.2e-7) << x;
  }
  for (double at = -5.5; at < 0; at += 0.001) {
    const double want = kernels::normal_cdf(static_cast<double>(static_cast<float>(at)));
    ASSERT_NEAR(kernels::normal_cdf(static_cast<float>(at)) / want, 1, 2e-4) << at;
  }
  EXPECT_EQ(kernels::normal_cdf(1e30f), 1);
  EXPECT_EQ(kernels::normal_cdf(-1e30f), 0);
}

template <class T, class F>
void check_map(double tolerance) {
  const Values x = test::rounded<T>(test::normal_values(103, 5, 2));
  const Values dy = test::rounded<T>(test::normal_values(103, 6));
  const auto in = as<T>(x), gradient = as<T>(dy);
  auto y = unset<T>(103), dx = as<T>(dy);
  test::run_elements(103, kernels::Map<T, F>{in.data(), y.data(), {}});
  test::run_elements(103, kernels::MapGradient<T, F>{in.data(), gradient.data(), dx.data(), 1, {}});
  Values want, slopes;
  for (std::size_t i = 0; i < x.size(); ++i) {
    want.push_back(F::value(x[i]));
    slopes.push_back(dy[i] + dy[i] * F::slope(x[i]));
  }
  expect_near(y, want, tolerance, F::name);
  expect_near(dx, slopes, 4 * tolerance, F::gradient_name);
}

TEST(KernelElements, EveryWidthComputesTheSameFunction) {
  check_map<float, kernels::Relu>(0);
  check_map<float, kernels::GeluErf>(1e-6);
  check_map<float, kernels::GeluTanh>(1e-6);
  check_map<float, kernels::Tanh>(1e-6);
  check_map<float, kernels::Sigmoid>(1e-6);
  check_map<float, kernels::Silu>(1e-6);
  check_map<float, kernels::Exp>(1e-6);
  check_map<double, kernels::GeluErf>(1e-14);
  check_map<double, kernels::Square>(1e-14);
  check_map<BFloat16, kernels::Relu>(0x1p-8);  // a gradient that is added is rounded
  check_map<BFloat16, kernels::GeluTanh>(test::half_tolerance<BFloat16>);
  check_map<BFloat16, kernels::Silu>(test::half_tolerance<BFloat16>);
  check_map<Float16, kernels::GeluErf>(test::half_tolerance<Float16>);
  check_map<Float16, kernels::Sigmoid>(test::half_tolerance<Float16>);
}

/// Registers of eight convert as single elements do: every value of the type, and its neighbourhood when rounded.
template <class T>
void check_conversions() {
  std::vector<T> all(65536), back(all.size());
  for (std::size_t bits = 0; bits < all.size(); ++bits) all[bits].bits = static_cast<std::uint16_t>(bits);
  std::vector<float> wide(all.size());
  test::run_elements(65536, kernels::AddScaled<T, float>{all.data(), wide.data(), 1, 0});
  for (std::size_t bits = 0; bits < all.size(); ++bits) {
    const auto want = static_cast<float>(all[bits]);
    ASSERT_TRUE(wide[bits] == want || (std::isnan(wide[bits]) && std::isnan(want))) << bits;
  }
  for (const float factor : {1.0f, 1.0f + 0x1p-9f, 1.0f + 0x1p-12f, 1.0f + 0x1.8p-9f, 1.0f + 0x1.8p-12f}) {
    test::run_elements(65536, kernels::AddScaled<float, T>{wide.data(), back.data(), factor, 0});
    for (std::size_t bits = 0; bits < all.size(); ++bits) {
      const T want(factor * wide[bits]);
      const bool number = !std::isnan(static_cast<float>(want));
      ASSERT_EQ(number, !std::isnan(static_cast<float>(back[bits]))) << bits;
      if (!number) continue;
      ASSERT_EQ(back[bits].bits, want.bits) << bits << " times " << factor;
    }
  }
}

TEST(KernelConversions, RegistersOfEightConvertAsElementsDo) {
  check_conversions<BFloat16>();
  check_conversions<Float16>();
}

template <class T>
std::vector<T> dropped(int lanes, std::int64_t features, std::int64_t first, std::int64_t count) {
  static const StepState state{.step = 5, .random_seed = 0x123456789abcdef0};
  const std::vector<T> ones(static_cast<std::size_t>(count * features), T{1});
  auto y = unset<T>(count * features);
  test::run_rows(lanes, count,
                 kernels::Dropout<T>{.x = ones.data(),
                                     .y = y.data(),
                                     .state = &state,
                                     .features = features,
                                     .first_sample = first,
                                     .layer = 2,
                                     .threshold = 0x40000000u,
                                     .factor = 2,
                                     .beta = 0});
  return y;
}

TEST(KernelDropout, DrawsDependOnSampleAndElementAlone) {
  constexpr std::int64_t features = 77;
  const auto all = dropped<float>(1, features, 10, 64);
  for (const int lanes : {3, 4, 32}) EXPECT_EQ(dropped<float>(lanes, features, 10, 64), all) << lanes;
  const auto part = dropped<float>(1, features, 30, 7);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + 20 * features));
  const auto wide = dropped<double>(1, features, 10, 64);
  EXPECT_TRUE(std::equal(wide.begin(), wide.end(), all.begin(), [](double a, float b) { return a == b; }));
  EXPECT_NE(dropped<float>(1, features, 11, 64), all);
}

TEST(KernelDropout, DropsTheWantedShare) {
  const auto y = dropped<float>(1, 1000, 0, 200);
  const auto zeros = static_cast<double>(std::count(y.begin(), y.end(), 0.0f));
  EXPECT_NEAR(zeros / 200000, 0.25, 0.004);  // four standard deviations
}

constexpr std::int64_t updated = 1200;  // more than a serial step of Adam, and not a multiple of a pack
const StepState running{.step = 6, .rate = 0.125f, .gradient_scale = 0.5f};

/// Parameters of 16 bits are the rounded masters.
template <class Param, class A>
void expect_rounded(const std::vector<Param>& param, const std::vector<A>& master) {
  if constexpr (std::is_same_v<Param, A>) return;
  for (std::size_t i = 0; i < param.size(); ++i)
    ASSERT_EQ(static_cast<float>(param[i]), static_cast<float>(Param(master[i]))) << i;
}

template <class Param, class Grad>
void check_sgd(std::uint32_t nesterov, double tolerance) {
  using A = Accum<Param>;
  const Values p = test::normal_values(updated, 1), g = test::rounded<Grad>(test::normal_values(updated, 2)),
               m = test::normal_values(updated, 3);
  auto param = unset<Param>(updated);
  auto master = as<A>(p), moment = as<A>(m);
  const auto grad = as<Grad>(g);
  A* const values = master.data();
  test::run_elements(updated,
                     kernels::SgdUpdate<Param, Grad>{
                         {values, param.data(), grad.data(), moment.data()}, &running, A(0.75), A(0.25), nesterov});
  Values want, moments;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double gradient = 0.5 * g[i] + 0.25 * p[i];
    moments.push_back(0.75 * m[i] + gradient);
    want.push_back(p[i] - 0.125 * (nesterov ? gradient + 0.75 * moments.back() : moments.back()));
  }
  expect_near(master, want, tolerance, "parameters");
  expect_near(moment, moments, tolerance, "momentum");
  expect_rounded(param, master);
}

TEST(KernelSgd, F32) { check_sgd<float, float>(0, 1e-6); }
TEST(KernelSgd, NesterovF32) { check_sgd<float, float>(1, 1e-6); }
TEST(KernelSgd, NesterovF64) { check_sgd<double, double>(1, 1e-14); }
TEST(KernelSgd, Masters) {
  check_sgd<BFloat16, float>(0, 1e-6);
  check_sgd<BFloat16, BFloat16>(1, 1e-6);
  check_sgd<Float16, float>(1, 1e-6);
  check_sgd<Float16, Float16>(0, 1e-6);
}

template <class Param, class Grad>
void check_adam(double l2, double decoupled, double tolerance) {
  using A = Accum<Param>;
  const Values p = test::normal_values(updated, 1), g = test::rounded<Grad>(test::normal_values(updated, 2)),
               m = test::normal_values(updated, 3);
  Values v = test::normal_values(updated, 4);
  for (double& value : v) value = value * value;
  auto param = unset<Param>(updated);
  auto master = as<A>(p), moment1 = as<A>(m), moment2 = as<A>(v);
  const auto grad = as<Grad>(g);
  A* const values = master.data();
  test::run_elements(updated,
                     kernels::AdamUpdate<Param, Grad>{.of = {values, param.data(), grad.data(), moment1.data()},
                                                      .moment2 = moment2.data(),
                                                      .state = &running,
                                                      .beta1 = A(0.9),
                                                      .beta2 = A(0.999),
                                                      .epsilon = A(1e-8),
                                                      .l2 = A(l2),
                                                      .decoupled = A(decoupled),
                                                      .log_beta1 = std::log(0.9),
                                                      .log_beta2 = std::log(0.999)});
  Values want, wants1, wants2;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double gradient = 0.5 * g[i] + l2 * p[i];
    wants1.push_back(0.9 * m[i] + 0.1 * gradient);
    wants2.push_back(0.999 * v[i] + 0.001 * gradient * gradient);
    const double first = wants1.back() / (1 - std::pow(0.9, 7)), second = wants2.back() / (1 - std::pow(0.999, 7));
    want.push_back(p[i] - 0.125 * (first / (std::sqrt(second) + 1e-8) + decoupled * p[i]));
  }
  expect_near(moment1, wants1, tolerance, "first moment");
  expect_near(moment2, wants2, tolerance, "second moment");
  expect_near(master, want, 10 * tolerance, "parameters");
  expect_rounded(param, master);
}

TEST(KernelAdam, F32) { check_adam<float, float>(0, 0, 2e-6); }
TEST(KernelAdam, L2F64) { check_adam<double, double>(0.25, 0, 1e-14); }
TEST(KernelAdam, DecoupledF64) { check_adam<double, double>(0, 0.25, 1e-14); }

TEST(KernelAdam, Masters) {
  check_adam<BFloat16, float>(0.25, 0, 2e-6);
  check_adam<BFloat16, BFloat16>(0, 0.25, 2e-6);
  check_adam<Float16, float>(0, 0, 2e-6);
  check_adam<Float16, Float16>(0, 0.25, 2e-6);
}

TEST(KernelOptimizers, ASkippedStepChangesNothing) {
  StepState state = running;
  state.skip = 1;
  const auto before = as<float>(test::normal_values(updated, 1)), grad = as<float>(test::normal_values(updated, 2));
  auto param = before, moment1 = before, moment2 = before;
  auto rounded = as<BFloat16>(test::normal_values(updated, 3));
  const auto rounded_before = rounded;
  const kernels::Updated<BFloat16, float> of{param.data(), rounded.data(), grad.data(), moment1.data()};
  test::run_elements(updated, kernels::SgdUpdate<BFloat16, float>{of, &state, 0.9f, 0, 0});
  test::run_elements(updated, kernels::AdamUpdate<BFloat16, float>{of, moment2.data(), &state, 0.9f, 0.999f, 1e-8f, 0,
                                                                   0, std::log(0.9), std::log(0.999)});
  EXPECT_EQ(std::memcmp(rounded.data(), rounded_before.data(), rounded.size() * sizeof(BFloat16)), 0);
  EXPECT_EQ(param, before);
  EXPECT_EQ(moment1, before);
  EXPECT_EQ(moment2, before);
}

TEST(KernelSquaredNorm, AddsChunksAndShowsWhatIsNotFinite) {
  constexpr std::int64_t n = kernels::norm_chunk + 77;
  const Values x = test::normal_values(n, 9);
  auto in = as<float>(x);
  double want = 0;
  for (const double value : x) want += value * value;
  for (const int lanes : {1, 3, 32}) {
    auto partial = unset<double>(2);
    test::run_rows(lanes, 2, kernels::SquaredNorm<float>{in.data(), partial.data(), n});
    EXPECT_NEAR(partial[0] + partial[1], want, 1e-9 * want) << lanes;
  }
  in[static_cast<std::size_t>(n - 1)] = INFINITY;
  auto partial = unset<double>(2);
  test::run_rows(1, 2, kernels::SquaredNorm<float>{in.data(), partial.data(), n});
  EXPECT_TRUE(std::isfinite(partial[0]));
  EXPECT_FALSE(std::isfinite(partial[1]));
}

}  // namespace
}  // namespace trireme
