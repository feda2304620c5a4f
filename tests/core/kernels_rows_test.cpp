// Row and column kernels: the same text on teams of 1, 3, 4 and 32 lanes, every floating type, against a
// plain f64 reference.
#include "core/kernels/cross_entropy.hpp"
#include "core/kernels/layer_norm.hpp"
#include "core/kernels/permute.hpp"
#include "core/kernels/reduce.hpp"
#include "core/kernels/softmax.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

using test::as;
using test::expect_near;
using test::unset;
using test::Values;

constexpr std::int64_t rows = 10, stripe_rows = 4, stripes = 3;

class KernelTeams : public testing::TestWithParam<test::LanesAndWidth> {
 protected:
  int lanes = GetParam().lanes;
  std::int64_t features = GetParam().features;
  Values x = test::normal_values(rows * features, 1, 2), dy = test::normal_values(rows * features, 2);
  Values gain = test::normal_values(features, 3), bias = test::normal_values(features, 4);

  std::size_t at(std::int64_t r, std::int64_t c) const { return static_cast<std::size_t>(r * features + c); }
  double sum_of(std::int64_t r) const {
    double total = 0;
    for (std::int64_t c = 0; c < features; ++c) total += x[at(r, c)];
    return total;
  }
  /// log of the sum of exponentials of a row.
  double log_sum(std::int64_t r) const {
    double total = 0;
    for (std::int64_t c = 0; c < features; ++c) total += std::exp(x[at(r, c)]);
    return std::log(total);
  }
  double probability(std::int64_t r, std::int64_t c) const { return std::exp(x[at(r, c)] - log_sum(r)); }
  template <class F>
  Values table(F f) const {
    Values out;
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < features; ++c) out.push_back(f(r, c));
    return out;
  }
  template <class T>
  void round() {
    for (Values* one : {&x, &dy, &gain, &bias}) *one = test::rounded<T>(*one);
  }
  template <class T>
  void check_softmax(double tolerance) const;
  template <class T>
  void check_layer_norm(double tolerance) const;
  template <class T>
  void check_sums(double tolerance) const;
  template <class T>
  void check_cross_entropy(double tolerance) const;
};

template <class T>
void KernelTeams::check_softmax(double tolerance) const {
  const auto in = as<T>(x), gradient = as<T>(dy);
  auto y = unset<T>(rows * features), dx = as<T>(dy);
  test::run_rows(lanes, rows, kernels::SoftmaxForward<T>{in.data(), y.data(), features});
  expect_near(y, table([&](auto r, auto c) { return probability(r, c); }), tolerance, "softmax");
  Values dots, sums;
  for (std::int64_t r = 0; r < rows; ++r) {
    dots.push_back(0);
    sums.push_back(0);
    for (std::int64_t c = 0; c < features; ++c) dots.back() += probability(r, c) * dy[at(r, c)];
    for (std::int64_t c = 0; c < features; ++c) sums.back() += dy[at(r, c)];
  }
  test::run_rows(lanes, rows, kernels::SoftmaxGradient<T>{y.data(), gradient.data(), dx.data(), features, 1});
  expect_near(dx, table([&](auto r, auto c) {
                return dy[at(r, c)] + probability(r, c) * (dy[at(r, c)] - dots[static_cast<std::size_t>(r)]);
              }),
              4 * tolerance, "added softmax gradient");
  test::run_rows(lanes, rows, kernels::LogSoftmaxForward<T>{in.data(), y.data(), features});
  expect_near(y, table([&](auto r, auto c) { return x[at(r, c)] - log_sum(r); }), tolerance, "log softmax");
  dx = unset<T>(rows * features);
  test::run_rows(lanes, rows, kernels::LogSoftmaxGradient<T>{y.data(), gradient.data(), dx.data(), features, 0});
  expect_near(
      dx, table([&](auto r, auto c) { return dy[at(r, c)] - probability(r, c) * sums[static_cast<std::size_t>(r)]; }),
      10 * tolerance, "log softmax gradient");
}

template <class T>
void KernelTeams::check_layer_norm(double tolerance) const {
  const auto in = as<T>(x), g = as<T>(gain), b = as<T>(bias), gradient = as<T>(dy);
  auto y = unset<T>(rows * features), dx = y;
  using A = Accum<T>;
  auto mean = unset<A>(rows), rstd = mean;
  test::run_rows(lanes, rows,
                 kernels::LayerNormForward<T>{in.data(), g.data(), b.data(), y.data(), mean.data(), rstd.data(),
                                              features, A(1e-5)});
  const auto n = static_cast<double>(features);
  Values scale, average(rows, 0), along(rows, 0);
  const auto xhat = [&](std::int64_t r, std::int64_t c) {
    return (x[at(r, c)] - sum_of(r) / n) * scale[static_cast<std::size_t>(r)];
  };
  for (std::int64_t r = 0; r < rows; ++r) {
    double variance = 0;
    for (std::int64_t c = 0; c < features; ++c) variance += std::pow(x[at(r, c)] - sum_of(r) / n, 2) / n;
    scale.push_back(1 / std::sqrt(variance + 1e-5));
    for (std::int64_t c = 0; c < features; ++c) {
      const double h = dy[at(r, c)] * gain[static_cast<std::size_t>(c)];
      average[static_cast<std::size_t>(r)] += h / n;
      along[static_cast<std::size_t>(r)] += h * xhat(r, c) / n;
    }
  }
  expect_near(y, table([&](auto r, auto c) {
                return xhat(r, c) * gain[static_cast<std::size_t>(c)] + bias[static_cast<std::size_t>(c)];
              }),
              tolerance, "layer norm");
  if (features > 1) {  // one element: the exact gradient is 0, reached by cancelling numbers of size 300
    test::run_rows(lanes, rows,
                   kernels::LayerNormInputGradient<T>{in.data(), g.data(), gradient.data(), mean.data(), rstd.data(),
                                                      dx.data(), features, 0});
    expect_near(dx, table([&](auto r, auto c) {
                  const auto row = static_cast<std::size_t>(r);
                  const double h = dy[at(r, c)] * gain[static_cast<std::size_t>(c)];
                  return scale[row] * (h - average[row] - xhat(r, c) * along[row]);
                }),
                tolerance, "layer norm gradient");
  }
  auto dgain = unset<A>(stripes * features), dbias = dgain;
  test::run_columns(lanes, stripes, features,
                    kernels::LayerNormParameterGradient<T>{in.data(), gradient.data(), mean.data(), rstd.data(),
                                                           dgain.data(), dbias.data(), rows, features, stripe_rows});
  for (std::int64_t c = 0; c < features; ++c) {
    double want = 0, got = 0;
    for (std::int64_t r = 0; r < rows; ++r) want += dy[at(r, c)] * xhat(r, c);
    for (std::int64_t s = 0; s < stripes; ++s) got += static_cast<double>(dgain[at(s, c)]);
    EXPECT_NEAR(got, want, 20 * tolerance) << "gradient of gain, column " << c;
  }
}

template <class T>
void KernelTeams::check_sums(double tolerance) const {
  const auto in = as<T>(x);
  auto partial = unset<Accum<T>>(stripes * features);
  auto columns = std::vector<T>(static_cast<std::size_t>(features), T{1});
  test::run_columns(lanes, stripes, features,
                    kernels::ColumnSum<T>{in.data(), partial.data(), rows, features, stripe_rows});
  test::run_elements(features, kernels::ColumnFinish<T>{partial.data(), columns.data(), stripes, features, 2, 1});
  Values want(static_cast<std::size_t>(features), 1.0), row_wants, total{0}, first;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < features; ++c) want[static_cast<std::size_t>(c)] += 2 * x[at(r, c)];
    row_wants.push_back(sum_of(r));
    total[0] += sum_of(r);
    first.push_back(0);
    for (std::int64_t c = 0; c < features; ++c)
      if (x[at(r, c)] > x[at(r, static_cast<std::int64_t>(first.back()))]) first.back() = static_cast<double>(c);
  }
  expect_near(columns, want, 10 * tolerance, "column sum");
  auto sums = unset<T>(rows), whole = unset<T>(1);
  test::run_rows(lanes, rows, kernels::RowSum<T>{in.data(), sums.data(), features, 1, 0});
  expect_near(sums, row_wants, 10 * tolerance, "row sum");
  auto chunks = unset<double>(1);
  test::run_rows(lanes, 1, kernels::ChunkSum<T>{in.data(), chunks.data(), rows * features});
  test::run_rows(lanes, 1, kernels::ChunkFinish<T>{chunks.data(), whole.data(), 1, 1, 0});
  expect_near(whole, total, 10 * tolerance, "total");
  std::vector<std::int32_t> index(rows, -1);
  test::run_rows(lanes, rows, kernels::ArgMax<T>{in.data(), index.data(), features});
  expect_near(index, first, 0, "argmax");
}

template <class T>
void KernelTeams::check_cross_entropy(double tolerance) const {
  const auto in = as<T>(x);
  std::vector<std::int32_t> labels;
  std::vector<float> weights(rows, 1.0f);
  for (std::int64_t r = 0; r < rows; ++r) labels.push_back(static_cast<std::int32_t>((7 * r) % features));
  labels[2] = -100;
  weights[4] = 0;
  weights[5] = 0.5f;
  using A = Accum<T>;
  auto top = unset<A>(rows), scale = top, loss = unset<A>(1);
  auto dx = unset<T>(rows * features);
  auto row_totals = unset<double>(3 * rows), totals = unset<double>(3);
  const double s = 0.1;
  const kernels::CrossEntropyRows<T> shared{.logits = in.data(),
                                            .labels = labels.data(),
                                            .weights = weights.data(),
                                            .rows = rows,
                                            .classes = features,
                                            .ignore = -100,
                                            .has_ignore = 1,
                                            .smoothing = A(s),
                                            .top = top.data(),
                                            .scale = scale.data()};
  test::run_rows(lanes, rows, kernels::CrossEntropyForward<T>{shared, row_totals.data()});
  test::run_rows(lanes, 3, kernels::CrossEntropyFinish<A>{row_totals.data(), totals.data(), loss.data(), rows});
  double want = 0, right = 0;
  const auto weight = [&](std::int64_t r) {
    return r == 2 ? 0.0 : static_cast<double>(weights[static_cast<std::size_t>(r)]);
  };
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto label = r == 2 ? 0 : labels[static_cast<std::size_t>(r)];
    want += weight(r) * (log_sum(r) - (1 - s) * x[at(r, label)] - s * sum_of(r) / static_cast<double>(features));
    bool largest = true;
    for (std::int64_t c = 0; c < features; ++c) largest = largest && x[at(r, c)] <= x[at(r, label)];
    right += largest ? weight(r) : 0;
  }
  expect_near(loss, {want}, 10 * tolerance, "loss");
  expect_near(totals, {want, 7.5, right}, 10 * tolerance, "totals");
  const A dloss = 3;
  test::run_rows(lanes, rows, kernels::CrossEntropyGradient<T>{shared, &dloss, dx.data(), 0});
  expect_near(dx, table([&](auto r, auto c) {
                const double target =
                    (labels[static_cast<std::size_t>(r)] == c ? 1 - s : 0) + s / static_cast<double>(features);
                return 3 * weight(r) * (probability(r, c) - target);
              }),
              4 * tolerance, "gradient");
}

TEST_P(KernelTeams, SoftmaxF32) { check_softmax<float>(2e-6); }
TEST_P(KernelTeams, SoftmaxF64) { check_softmax<double>(1e-14); }
TEST_P(KernelTeams, LayerNormF32) { check_layer_norm<float>(4e-5); }
TEST_P(KernelTeams, LayerNormF64) { check_layer_norm<double>(1e-12); }
TEST_P(KernelTeams, SumsF32) { check_sums<float>(2e-6); }
TEST_P(KernelTeams, SumsF64) { check_sums<double>(1e-14); }
TEST_P(KernelTeams, CrossEntropyF32) { check_cross_entropy<float>(2e-6); }
TEST_P(KernelTeams, CrossEntropyF64) { check_cross_entropy<double>(1e-14); }

/// Of 16-bit types the result alone is rounded; softmax does it twice.
#define TRIREME_HALF_ROWS(T)                             \
  TEST_P(KernelTeams, Softmax##T) {                      \
    round<T>();                                          \
    check_softmax<T>(test::half_tolerance<T>);           \
  }                                                      \
  TEST_P(KernelTeams, LayerNorm##T) {                    \
    round<T>();                                          \
    check_layer_norm<T>(2 * test::half_tolerance<T>);    \
  }                                                      \
  TEST_P(KernelTeams, Sums##T) {                         \
    round<T>();                                          \
    check_sums<T>(test::half_tolerance<T> / 4);          \
  }                                                      \
  TEST_P(KernelTeams, CrossEntropy##T) {                 \
    round<T>();                                          \
    check_cross_entropy<T>(test::half_tolerance<T> / 8); \
  }
TRIREME_HALF_ROWS(BFloat16)
TRIREME_HALF_ROWS(Float16)

/// Near the end of a training the probability of the label is almost 1, which 8 bits cannot tell from 1.
TEST_P(KernelTeams, TheGradientOfASureLabelIsNotRoundedAway) {
  const BFloat16 logits[] = {BFloat16(8.0f), BFloat16(0.0f)};
  const std::int32_t label = 0;
  const float top = 8, scale = 1 / (1 + std::exp(-8.0f)), dloss = 1;
  BFloat16 dx[2];
  test::run_rows(lanes, 1,
                 kernels::CrossEntropyGradient<BFloat16>{{.logits = logits,
                                                          .labels = &label,
                                                          .weights = nullptr,
                                                          .rows = 1,
                                                          .classes = 2,
                                                          .ignore = 0,
                                                          .has_ignore = 0,
                                                          .smoothing = 0,
                                                          .top = const_cast<float*>(&top),
                                                          .scale = const_cast<float*>(&scale)},
                                                         &dloss,
                                                         dx,
                                                         0});
  EXPECT_NEAR(static_cast<float>(dx[0]), scale - 1, 2e-6);
  EXPECT_NEAR(static_cast<float>(dx[1]), 1 - scale, 2e-6);
}

TEST_P(KernelTeams, PermuteTilesTransposes) {
  const auto in = as<float>(x);
  auto y = unset<float>(rows * features);
  kernels::PermuteDims none{};
  const std::int64_t tiles = (features + 15) / 16;
  test::run_rows(lanes, tiles,
                 kernels::PermuteTiles<float>{in.data(), y.data(), none, features, rows, features, rows, 0});
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < features; ++c)
      ASSERT_EQ(y[static_cast<std::size_t>(c * rows + r)], in[at(r, c)]) << r << " " << c;
}

INSTANTIATE_TEST_SUITE_P(LanesAndWidths, KernelTeams, test::lanes_and_widths(), test::name_of_case);

}  // namespace
}  // namespace trireme
