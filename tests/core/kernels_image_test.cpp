// The kernels of axis_map.hpp and group_norm.hpp on teams of 1, 3, 4 and 32 lanes against plain loops.
#include "core/kernels/axis_map.hpp"
#include "core/kernels/group_norm.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

class ImageTeams : public testing::TestWithParam<test::LanesAndWidth> {
 protected:
  const int lanes = GetParam().lanes;
  const std::int64_t features = GetParam().features;
};

TEST_P(ImageTeams, AnAxisMapSumsItsTapsOrGivesWhatIsOutside) {
  const std::int64_t outer = 2, from = 3, to = 4;
  const std::vector<std::int32_t> start{0, 2, 2, 3, 6}, source{2, 0, 1, 0, 1, 2};
  const std::vector<double> weight{0.5, -1, 2, 1, 0.25, 3};
  const test::Values x = test::normal_values(outer * from * features, 1);
  const auto in = test::as<float>(x);
  for (const float beta : {0.0f, 1.0f}) {
    const test::Values old = test::normal_values(outer * to * features, 2);
    auto y = beta == 0 ? test::unset<float>(outer * to * features) : test::as<float>(old);
    const kernels::Taps taps{start.data(), source.data(), weight.data()};
    test::run_rows(lanes, outer * to, kernels::AxisMap<float>{in.data(), y.data(), taps, from, to, features, 7, beta});
    test::Values want(y.size());
    for (std::int64_t row = 0; row < outer * to; ++row)
      for (std::int64_t c = 0; c < features; ++c) {
        const auto j = static_cast<std::size_t>(row % to), at = static_cast<std::size_t>(row * features + c);
        want[at] = start[j] == start[j + 1] ? 7 : 0;
        for (auto k = static_cast<std::size_t>(start[j]); k < static_cast<std::size_t>(start[j + 1]); ++k)
          want[at] += weight[k] * x[static_cast<std::size_t>((row / to * from + source[k]) * features + c)];
        if (beta != 0) want[at] += old[at];
      }
    test::expect_near(y, want, 1e-5, "mapped");
  }
}

/// Plain group norm of one (pixels, channels) sample in f64, and its gradients by the chain rule written out.
struct Plain {
  std::int64_t pixels, channels, groups;
  test::Values x, gain, bias, dy;
  test::Values y, dx, dgain, dbias;

  std::size_t at(std::int64_t p, std::int64_t c) const { return static_cast<std::size_t>(p * channels + c); }
  void run() {
    y = dx = test::Values(x.size());
    dgain = dbias = test::Values(gain.size());
    for (std::int64_t g = 0; g < groups; ++g) group(g * (channels / groups), channels / groups);
  }
  template <class F>
  double total(std::int64_t first, std::int64_t width, F f) const {
    double sum = 0;
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t c = first; c < first + width; ++c) sum += f(at(p, c), static_cast<std::size_t>(c));
    return sum;
  }
  void group(std::int64_t first, std::int64_t width) {
    const double n = static_cast<double>(pixels * width);
    const double mean = total(first, width, [&](std::size_t i, std::size_t) { return x[i]; }) / n;
    const double variance =
        total(first, width, [&](std::size_t i, std::size_t) { return (x[i] - mean) * (x[i] - mean); }) / n;
    const double rstd = 1 / std::sqrt(variance + 1e-5);
    const auto hat = [&](std::size_t i) { return (x[i] - mean) * rstd; };
    const double average = total(first, width, [&](std::size_t i, std::size_t c) { return dy[i] * gain[c]; }) / n;
    const double along =
        total(first, width, [&](std::size_t i, std::size_t c) { return dy[i] * gain[c] * hat(i); }) / n;
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t c = first; c < first + width; ++c) {
        const std::size_t i = at(p, c), k = static_cast<std::size_t>(c);
        y[i] = hat(i) * gain[k] + bias[k];
        dx[i] = rstd * (dy[i] * gain[k] - average - hat(i) * along);
        dgain[k] += dy[i] * hat(i);
        dbias[k] += dy[i];
      }
  }
};

TEST_P(ImageTeams, GroupNormAndItsGradientsAreThoseOfPlainLoops) {
  for (const std::int64_t groups : {std::int64_t{1}, features % 2 == 0 ? std::int64_t{2} : features, features}) {
    const std::int64_t pixels = 5;
    Plain plain{pixels,
                features,
                groups,
                test::normal_values(pixels * features, 1),
                test::normal_values(features, 2),
                test::normal_values(features, 3),
                test::normal_values(pixels * features, 4),
                {},
                {},
                {},
                {}};
    plain.run();
    const auto x = test::as<double>(plain.x), gain = test::as<double>(plain.gain), bias = test::as<double>(plain.bias),
               dy = test::as<double>(plain.dy);
    auto y = test::unset<double>(pixels * features), dx = y;
    auto mean = test::unset<double>(groups), rstd = mean;
    auto dgain = test::unset<double>(features), dbias = dgain;
    const kernels::GroupExtents e{pixels, features, groups};
    test::run_rows(lanes, groups,
                   kernels::GroupNormForward<double>{x.data(), gain.data(), bias.data(), y.data(), mean.data(),
                                                     rstd.data(), e, 1e-5});
    test::run_rows(lanes, groups,
                   kernels::GroupNormInputGradient<double>{x.data(), gain.data(), dy.data(), mean.data(), rstd.data(),
                                                           dx.data(), e, 0});
    test::run_columns(lanes, 1, features,
                      kernels::GroupNormParameterGradient<double>{x.data(), dy.data(), mean.data(), rstd.data(),
                                                                  dgain.data(), dbias.data(), e, pixels, pixels});
    test::expect_near(y, plain.y, 1e-10, "y");
    test::expect_near(dx, plain.dx, 1e-9, "dx");
    test::expect_near(dgain, plain.dgain, 1e-9, "dgain");
    test::expect_near(dbias, plain.dbias, 1e-9, "dbias");
  }
}

INSTANTIATE_TEST_SUITE_P(LanesAndWidths, ImageTeams, test::lanes_and_widths(), test::name_of_case);

}  // namespace
}  // namespace trireme
