// Kernels of language models: the same text on teams of 1, 3, 4 and 32 lanes, every floating type, against plain f64
// loops.
#include "core/kernels/embedding.hpp"
#include "core/kernels/gated.hpp"
#include "core/kernels/rms_norm.hpp"
#include "core/kernels/rotary.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

using test::as;
using test::expect_near;
using test::unset;
using test::Values;

constexpr std::int64_t token_rows = 10;

class LanguageKernels : public testing::TestWithParam<test::LanesAndWidth> {
 protected:
  int lanes = GetParam().lanes;
  std::int64_t features = GetParam().features;
  Values x = test::normal_values(token_rows * features, 1, 2), dy = test::normal_values(token_rows * features, 2);
  Values gain = test::normal_values(features, 3), more = test::normal_values(token_rows * features, 4);

  std::size_t at(std::int64_t r, std::int64_t c) const { return static_cast<std::size_t>(r * features + c); }
  template <class F>
  Values table(F f) const {
    Values out;
    for (std::int64_t r = 0; r < token_rows; ++r)
      for (std::int64_t c = 0; c < features; ++c) out.push_back(f(r, c));
    return out;
  }
  template <class T>
  void round() {
    for (Values* one : {&x, &dy, &gain, &more}) *one = test::rounded<T>(*one);
  }
  template <class T>
  void check_embedding(double tolerance) const;
  template <class T>
  void check_rms_norm(double tolerance) const;
  template <class T>
  void check_residual_layer_norm(double tolerance) const;
  template <class T>
  void check_gated(double tolerance) const;
  template <class T>
  void check_rotary(double tolerance) const;
};

template <class T>
void LanguageKernels::check_embedding(double tolerance) const {
  // x is the table, `more` the positions; tokens 1 and 4 use row 2, 2 and 5 and 7 row 0, token 6 a row that is not
  // there
  const std::vector<std::int32_t> ids{3, 2, 0, 9, 2, 0, 10, 0}, places{1, 0, 1, 2, 3, 0, 2, 1};
  const auto tokens = static_cast<std::int64_t>(ids.size());
  const kernels::TokenIndex id{ids.data(), 4, 0, token_rows}, place{places.data(), 4, 0, token_rows},
      counted{nullptr, 4, 2, token_rows};
  EXPECT_EQ(counted.at(6), 4);
  const auto in = as<T>(x), positions = as<T>(more), gradient = as<T>(dy);
  auto y = unset<T>(tokens * features);
  test::run_rows(lanes, tokens,
                 kernels::EmbeddingForward<T>{in.data(), positions.data(), y.data(), id, place, features});
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t c = 0; c < features; ++c) {
      const auto got = static_cast<double>(y[at(t, c)]);
      if (t == 6) {
        ASSERT_TRUE(std::isnan(got));
      } else {
        const auto token = static_cast<std::size_t>(t);
        ASSERT_NEAR(got, x[at(ids[token], c)] + more[at(places[token], c)], tolerance) << t << " " << c;
      }
    }
  }
  std::vector<std::int32_t> next(8, -7), head(8, -7);
  test::run_rows(lanes, tokens, kernels::TokenChain{id, next.data(), head.data(), tokens});
  EXPECT_EQ(next, (std::vector<std::int32_t>{-1, 4, 5, -1, -1, 7, -1, -1}));
  EXPECT_EQ(head, (std::vector<std::int32_t>{1, 1, 1, 1, 0, 0, 0, 0}));
  auto dtable = as<T>(x);
  const kernels::EmbeddingGradient<T> kernel{gradient.data(), dtable.data(), next.data(), head.data(), id,
                                             tokens,          features};
  test::run_rows(lanes, kernel.tiles() * tokens, kernel);
  expect_near(dtable, table([&](auto r, auto c) {
                double want = x[at(r, c)];
                for (std::int64_t t = 0; t < tokens; ++t)
                  want += ids[static_cast<std::size_t>(t)] == r ? dy[at(t, c)] : 0;
                return want;
              }),
              4 * tolerance, "gradient of the table");
}

template <class T>
void LanguageKernels::check_rms_norm(double tolerance) const {
  const auto in = as<T>(x), r = as<T>(more), g = as<T>(gain), gradient = as<T>(dy);
  using A = Accum<T>;
  auto y = unset<T>(token_rows * features), sum = y, dx = as<T>(x);
  auto rstd = unset<A>(token_rows), dgain = unset<A>(features);
  test::run_rows(
      lanes, token_rows,
      kernels::RmsNormForward<T>{in.data(), g.data(), y.data(), rstd.data(), features, A(1e-5), r.data(), sum.data()});
  const Values s = table([&](auto i, auto c) { return x[at(i, c)] + more[at(i, c)]; });
  Values scale, along;
  for (std::int64_t i = 0; i < token_rows; ++i) {
    double squares = 0, dot = 0;
    for (std::int64_t c = 0; c < features; ++c) squares += s[at(i, c)] * s[at(i, c)] / static_cast<double>(features);
    scale.push_back(1 / std::sqrt(squares + 1e-5));
    for (std::int64_t c = 0; c < features; ++c)
      dot += dy[at(i, c)] * gain[static_cast<std::size_t>(c)] * s[at(i, c)] * scale.back();
    along.push_back(dot / static_cast<double>(features));
  }
  const auto row = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  expect_near(sum, s, tolerance, "sum");
  expect_near(y, table([&](auto i, auto c) { return s[at(i, c)] * scale[row(i)] * gain[row(c)]; }), tolerance, "norm");
  test::run_rows(
      lanes, token_rows,
      kernels::RmsNormInputGradient<T>{sum.data(), g.data(), gradient.data(), rstd.data(), dx.data(), features, 1});
  expect_near(dx, table([&](auto i, auto c) {
                return x[at(i, c)] +
                       scale[row(i)] * (dy[at(i, c)] * gain[row(c)] - s[at(i, c)] * scale[row(i)] * along[row(i)]);
              }),
              10 * tolerance, "added gradient");
  test::run_columns(lanes, 1, features,
                    kernels::RmsNormGainGradient<T>{sum.data(), gradient.data(), rstd.data(), dgain.data(), token_rows,
                                                    features, token_rows});
  Values want(row(features), 0);
  for (std::int64_t i = 0; i < token_rows; ++i)
    for (std::int64_t c = 0; c < features; ++c) want[row(c)] += dy[at(i, c)] * s[at(i, c)] * scale[row(i)];
  expect_near(dgain, want, 10 * tolerance, "gradient of gain");
}

template <class T>
void LanguageKernels::check_residual_layer_norm(double tolerance) const {
  const auto in = as<T>(x), r = as<T>(more), g = as<T>(gain);
  using A = Accum<T>;
  auto y = unset<T>(token_rows * features), sum = y, plain = y;
  auto mean = unset<A>(token_rows), rstd = mean;
  test::run_rows(lanes, token_rows,
                 kernels::LayerNormForward<T>{in.data(), g.data(), g.data(), y.data(), mean.data(), rstd.data(),
                                              features, A(1e-5), r.data(), sum.data()});
  expect_near(sum, table([&](auto i, auto c) { return x[at(i, c)] + more[at(i, c)]; }), tolerance, "sum");
  test::run_rows(lanes, token_rows,
                 kernels::LayerNormForward<T>{sum.data(), g.data(), g.data(), plain.data(), mean.data(), rstd.data(),
                                              features, A(1e-5)});
  EXPECT_EQ(std::memcmp(y.data(), plain.data(), y.size() * sizeof(T)), 0)
      << "the norm of a sum differs from that of the written sum";
}

template <class T>
void LanguageKernels::check_gated(double tolerance) const {
  const std::int64_t half = token_rows / 2;  // a row of gate and up is two rows of x
  const auto in = as<T>(x), gradient = as<T>(dy);
  auto y = unset<T>(half * features), dx = as<T>(more);
  test::run_rows(lanes, half, kernels::GatedSilu<T>{in.data(), y.data(), features});
  test::run_rows(lanes, half, kernels::GatedSiluGradient<T>{in.data(), gradient.data(), dx.data(), features, 1});
  Values want, wants;
  for (std::int64_t r = 0; r < half; ++r) {
    for (std::int64_t c = 0; c < features; ++c) {
      const double gate = x[at(2 * r, c)];
      want.push_back(gate / (1 + std::exp(-gate)) * x[at(2 * r + 1, c)]);
    }
  }
  wants = table([&](std::int64_t r, std::int64_t c) {
    const double gate = x[at(r / 2 * 2, c)], up = x[at(r / 2 * 2 + 1, c)], s = 1 / (1 + std::exp(-gate));
    const double slope = r % 2 == 0 ? up * s * (1 + gate * (1 - s)) : gate * s;
    return more[at(r, c)] + dy[at(r / 2, c)] * slope;
  });
  expect_near(y, want, tolerance, "gated");
  expect_near(dx, wants, 4 * tolerance, "gradient");
}

template <class T>
void LanguageKernels::check_rotary(double tolerance) const {
  // a token is 3 heads of 2 * features elements, of which 2 turn
  const std::int64_t half = features, width = 6 * half, tokens = 3;
  const Values input = test::rounded<T>(test::normal_values(tokens * width, 5));
  const std::vector<std::int32_t> places{1, 0, 2};
  Values cosine, sine;
  for (std::int64_t i = 0; i < 3 * half; ++i) cosine.push_back(std::cos(0.1 * static_cast<double>(i)));
  for (std::int64_t i = 0; i < 3 * half; ++i) sine.push_back(std::sin(0.1 * static_cast<double>(i)));
  const auto in = as<T>(input);
  const auto cos = as<Accum<T>>(cosine), sin = as<Accum<T>>(sine);
  auto y = unset<T>(tokens * width);
  kernels::Rotary<T> kernel{in.data(), y.data(), cos.data(), sin.data(), {places.data(), tokens, 0, 3},
                            2,         half,     width,      1};
  test::run_rows(lanes, tokens, kernel);
  Values want = input;
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t p = 0; p < 2 * half; ++p) {
      const auto a = static_cast<std::size_t>(t * width + p / half * 2 * half + p % half);
      const auto b = a + static_cast<std::size_t>(half);
      const auto angle = static_cast<std::size_t>(places[static_cast<std::size_t>(t)] * half + p % half);
      want[a] = input[a] * cosine[angle] - input[b] * sine[angle];
      want[b] = input[b] * cosine[angle] + input[a] * sine[angle];
    }
  }
  expect_near(y, want, tolerance, "turned");
  kernel.x = y.data();
  kernel.direction = -1;
  test::run_rows(lanes, tokens, kernel);
  expect_near(y, input, 4 * tolerance, "turned back in place");
}

TEST_P(LanguageKernels, EmbeddingF32) { check_embedding<float>(1e-6); }
TEST_P(LanguageKernels, EmbeddingF64) { check_embedding<double>(1e-15); }
TEST_P(LanguageKernels, RmsNormF32) { check_rms_norm<float>(2e-6); }
TEST_P(LanguageKernels, RmsNormF64) { check_rms_norm<double>(1e-14); }
TEST_P(LanguageKernels, ResidualLayerNormF32) { check_residual_layer_norm<float>(1e-6); }
TEST_P(LanguageKernels, ResidualLayerNormF64) { check_residual_layer_norm<double>(1e-15); }
TEST_P(LanguageKernels, GatedF32) { check_gated<float>(2e-6); }
TEST_P(LanguageKernels, GatedF64) { check_gated<double>(1e-14); }
TEST_P(LanguageKernels, RotaryF32) { check_rotary<float>(2e-6); }
TEST_P(LanguageKernels, RotaryF64) { check_rotary<double>(1e-14); }

#define TRIREME_HALF_LANGUAGE(T)                           \
  TEST_P(LanguageKernels, Embedding##T) {                  \
    round<T>();                                            \
    check_embedding<T>(2 * test::half_tolerance<T>);       \
  }                                                        \
  TEST_P(LanguageKernels, RmsNorm##T) {                    \
    round<T>();                                            \
    check_rms_norm<T>(2 * test::half_tolerance<T>);        \
  }                                                        \
  TEST_P(LanguageKernels, ResidualLayerNorm##T) {          \
    round<T>();                                            \
    check_residual_layer_norm<T>(test::half_tolerance<T>); \
  }                                                        \
  TEST_P(LanguageKernels, Gated##T) {                      \
    round<T>();                                            \
    check_gated<T>(test::half_tolerance<T>);               \
  }                                                        \
  TEST_P(LanguageKernels, Rotary##T) { check_rotary<T>(test::half_tolerance<T>); }
TRIREME_HALF_LANGUAGE(BFloat16)
TRIREME_HALF_LANGUAGE(Float16)

/// Gradients of 16-bit tokens, summed where the table's gradient is f32: not one bit of a sum is lost.
TEST_P(LanguageKernels, TheGradientOfATableMayBeWider) {
  constexpr std::int64_t tokens = 3;
  const std::vector<std::int32_t> ids{1, 1, 1}, next{1, 2, -1}, head{1, 0, 0};
  const std::vector<BFloat16> each(static_cast<std::size_t>(tokens * features), BFloat16(1.0f + 0x1p-7f));
  std::vector<float> dtable(static_cast<std::size_t>(2 * features), 256.0f);
  const kernels::EmbeddingGradient<BFloat16, float> kernel{
      each.data(), dtable.data(), next.data(), head.data(), {ids.data(), tokens, 0, 2}, tokens, features};
  test::run_rows(lanes, kernel.tiles() * tokens, kernel);
  for (std::int64_t c = 0; c < features; ++c) {
    EXPECT_EQ(dtable[at(0, c)], 256.0f);
    EXPECT_EQ(dtable[at(1, c)], 256.0f + 3 * (1.0f + 0x1p-7f));
  }
}

INSTANTIATE_TEST_SUITE_P(LanesAndWidths, LanguageKernels, test::lanes_and_widths(), test::name_of_case);

}  // namespace
}  // namespace trireme
