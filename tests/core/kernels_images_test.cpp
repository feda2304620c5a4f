// Kernels of products, convolution, pooling and batch norm: the same text on teams of 1, 3, 4 and 32 lanes, every
// type they serve, against plain f64 loops.
#include "core/kernels/batch_norm.hpp"
#include "core/kernels/conv2d_reference.hpp"
#include "core/kernels/matmul_reference.hpp"
#include "core/kernels/pooling.hpp"
#include "tests/support/kernel_check.hpp"

namespace trireme {
namespace {

using test::as;
using test::expect_near;
using test::normal_values;
using test::run_columns;
using test::run_rows;
using test::unset;
using test::Values;

std::size_t index_of(std::int64_t i) { return static_cast<std::size_t>(i); }

class ImageKernels : public testing::TestWithParam<int> {
 protected:
  int lanes = GetParam();
  template <class F>
  void in_both_types(F f) const {
    f(double{}, 1e-12);
    f(float{}, 2e-5);
  }
  template <class F>
  void in_every_type(F f) const {
    in_both_types(f);
    f(BFloat16{}, test::half_tolerance<BFloat16>);
    f(Float16{}, test::half_tolerance<Float16>);
  }
};

INSTANTIATE_TEST_SUITE_P(Lanes, ImageKernels, testing::Values(1, 3, 4, 32));

TEST_P(ImageKernels, MatmulReference) {
  for (const std::int64_t n : {1, 6, 37}) {
    const std::int64_t batches = 2, m = 7, k = 5;
    const Values a = normal_values(batches * m * k, 1), b = normal_values(batches * k * n, 2),
                 bias = normal_values(n, 3);
    const Values old = normal_values(batches * m * n, 4);
    Values want;
    for (std::int64_t z = 0; z < batches; ++z)
      for (std::int64_t r = 0; r < m; ++r)
        for (std::int64_t j = 0; j < n; ++j) {
          double sum = old[index_of((z * m + r) * n + j)] + bias[index_of(j)];
          for (std::int64_t p = 0; p < k; ++p)  // a is stored transposed
            sum += a[index_of((z * k + p) * m + r)] * b[index_of((z * k + p) * n + j)];
          want.push_back(std::max(sum, 0.0));
        }
    in_both_types([&](auto zero, double tolerance) {
      using T = decltype(zero);
      const auto left = as<T>(a), right = as<T>(b), add = as<T>(bias);
      auto c = as<T>(old);
      const kernels::MatmulReference<T> kernel{left.data(), right.data(), c.data(), add.data(), m, n, k, 1, m, 1, 1u};
      run_rows(lanes, kernel.tiles(batches), kernel);
      expect_near(c, want, tolerance, "product");
    });
  }
}

TEST_P(ImageKernels, TransposeMatrix) {
  const Values x = normal_values(2 * 3 * 5, 1);
  auto y = unset<double>(30);
  run_rows(lanes, 2 * 5, kernels::TransposeMatrix<double>{x.data(), y.data(), 3, 5});
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t r = 0; r < 3; ++r)
      for (std::int64_t c = 0; c < 5; ++c)
        EXPECT_EQ(y[index_of((b * 5 + c) * 3 + r)], x[index_of((b * 3 + r) * 5 + c)]);
}

/// A small strided, padded convolution in 2 groups, and all its sums in plain loops.
struct PlainConv {
  kernels::ConvExtents e{.batch = 2,
                         .height = 5,
                         .width = 4,
                         .channels = 6,
                         .out_height = 3,
                         .out_width = 4,
                         .outputs = 10,
                         .filter_height = 3,
                         .filter_width = 3,
                         .stride_h = 2,
                         .stride_w = 1,
                         .padding_h = 1,
                         .padding_w = 1,
                         .groups = 2};
  Values x = normal_values(2 * 5 * 4 * 6, 1), filter = normal_values(10 * 9 * 3, 2), bias = normal_values(10, 3),
         dy = normal_values(2 * 3 * 4 * 10, 4);
  Values y = Values(dy.size()), dx = Values(x.size()), dfilter = Values(filter.size());

  PlainConv() {
    for (std::int64_t b = 0; b < e.batch; ++b)
      for (std::int64_t oh = 0; oh < e.out_height; ++oh)
        for (std::int64_t ow = 0; ow < e.out_width; ++ow)
          for (std::int64_t o = 0; o < e.outputs; ++o) output(b, oh, ow, o);
  }
  void output(std::int64_t b, std::int64_t oh, std::int64_t ow, std::int64_t o) {
    const std::size_t to = index_of(((b * e.out_height + oh) * e.out_width + ow) * e.outputs + o);
    y[to] = bias[index_of(o)];
    for (std::int64_t kh = 0; kh < 3; ++kh)
      for (std::int64_t kw = 0; kw < 3; ++kw)
        for (std::int64_t i = 0; i < 3; ++i) {
          const std::int64_t h = oh * e.stride_h - e.padding_h + kh, w = ow * e.stride_w - e.padding_w + kw;
          if (h < 0 || h >= e.height || w < 0 || w >= e.width) continue;
          const std::size_t from = index_of(((b * e.height + h) * e.width + w) * e.channels + o / 5 * 3 + i);
          const std::size_t weight = index_of(((o * 3 + kh) * 3 + kw) * 3 + i);
          y[to] += x[from] * filter[weight];
          dx[from] += dy[to] * filter[weight];
          dfilter[weight] += dy[to] * x[from];
        }
    y[to] = std::max(y[to], 0.0);
  }
};

TEST_P(ImageKernels, ConvolutionReference) {
  const PlainConv plain;
  in_both_types([&](auto zero, double tolerance) {
    using T = decltype(zero);
    const kernels::ConvExtents& e = plain.e;
    const auto x = as<T>(plain.x), filter = as<T>(plain.filter), bias = as<T>(plain.bias), dy = as<T>(plain.dy);
    auto turned = unset<T>(10 * 27), y = unset<T>(2 * 3 * 4 * 10), dx = as<T>(Values(plain.x.size(), 1.0)),
         dfilter = unset<T>(10 * 27);
    run_rows(lanes, 27, kernels::TransposeMatrix<T>{filter.data(), turned.data(), 10, 27});
    run_rows(lanes, 2 * 3, kernels::ConvForward<T>{x.data(), turned.data(), bias.data(), y.data(), e, 1u});
    expect_near(y, plain.y, tolerance, "y");
    run_rows(lanes, 2 * 5, kernels::ConvDataGradient<T>{dy.data(), filter.data(), dx.data(), e, 1});
    Values added = plain.dx;
    for (double& v : added) v += 1;
    expect_near(dx, added, tolerance, "dx added to 1");
    run_rows(lanes, 10 * 9, kernels::ConvFilterGradient<T>{x.data(), dy.data(), dfilter.data(), e, 0});
    expect_near(dfilter, plain.dfilter, tolerance, "dfilter");
  });
}

/// Pooling in plain loops; `windows` calls f(output element, input element) for all pairs.
struct PlainPool {
  kernels::PoolExtents e;
  template <class F>
  void windows(F f) const {
    for (std::int64_t b = 0; b < e.batch; ++b)
      for (std::int64_t oh = 0; oh < e.out_height; ++oh)
        for (std::int64_t ow = 0; ow < e.out_width; ++ow)
          for (std::int64_t c = 0; c < e.channels; ++c)
            for (std::int64_t h = oh * e.stride_h - e.padding_h; h < oh * e.stride_h - e.padding_h + e.window_h; ++h)
              for (std::int64_t w = ow * e.stride_w - e.padding_w; w < ow * e.stride_w - e.padding_w + e.window_w; ++w)
                if (h >= 0 && h < e.height && w >= 0 && w < e.width)
                  f(index_of(((b * e.out_height + oh) * e.out_width + ow) * e.channels + c),
                    index_of(((b * e.height + h) * e.width + w) * e.channels + c));
  }
  std::int64_t inputs() const { return e.batch * e.height * e.width * e.channels; }
  std::int64_t outputs() const { return e.batch * e.out_height * e.out_width * e.channels; }
};

std::vector<PlainPool> pools() {
  std::vector<PlainPool> out;
  for (const std::int64_t channels : {3, 21}) {
    out.push_back({{2, 4, 6, channels, 2, 3, 2, 2, 2, 2, 0, 0}});
    out.push_back({{1, 5, 7, channels, 2, 3, 2, 2, 2, 2, 0, 0}});
    out.push_back({{2, 5, 5, channels, 3, 3, 3, 3, 2, 2, 1, 1}});
    out.push_back({{1, 5, 6, channels, 3, 3, 2, 3, 2, 3, 1, 2}});
    out.push_back({{1, 7, 8, channels, 2, 3, 2, 2, 3, 3, 0, 0}});
  }
  return out;
}

template <class T>
void check_max_pool(int lanes, const PlainPool& pool, double tolerance) {
  const Values x = test::rounded<T>(normal_values(pool.inputs(), 1));
  const Values dy = test::rounded<T>(normal_values(pool.outputs(), 2));
  Values y(index_of(pool.outputs()), -1e30), dx(index_of(pool.inputs()));
  std::vector<std::size_t> from(y.size());
  pool.windows([&](std::size_t o, std::size_t i) {
    if (x[i] > y[o]) y[o] = x[i], from[o] = i;
  });
  for (std::size_t o = 0; o < y.size(); ++o) dx[from[o]] += dy[o];
  const auto in = as<T>(x), gradient = as<T>(dy);
  auto out = unset<T>(pool.outputs()), back = unset<T>(pool.inputs()), apart = unset<T>(pool.inputs());
  std::vector<std::uint8_t> index(y.size());
  const kernels::PoolExtents& e = pool.e;
  run_rows(lanes, e.batch * e.out_height, kernels::MaxPoolForward<T>{in.data(), out.data(), index.data(), e, 0});
  expect_near(out, y, tolerance, "largest");
  run_rows(lanes, e.batch * e.height, kernels::MaxPoolGradient<T>{gradient.data(), index.data(), back.data(), e, 0});
  expect_near(back, dx, tolerance, "gradient of largest");
  if (e.stride_h < e.window_h || e.stride_w < e.window_w) return;
  run_rows(lanes, e.batch * e.out_height,
           kernels::MaxPoolGradientApart<T>{gradient.data(), index.data(), apart.data(), e, 0});
  expect_near(apart, dx, tolerance, "gradient of largest, apart");
}

template <class T>
void check_average_pool(int lanes, const PlainPool& pool, std::uint32_t whole) {
  const kernels::PoolExtents& e = pool.e;
  const Values x = test::rounded<T>(normal_values(pool.inputs(), 1));
  const Values dy = test::rounded<T>(normal_values(pool.outputs(), 2));
  const double tolerance = sizeof(T) == 2 ? test::half_tolerance<T> : 2e-5;
  Values y(index_of(pool.outputs())), dx(index_of(pool.inputs())), count(y.size());
  pool.windows([&](std::size_t o, std::size_t) { count[o] += 1; });
  if (whole != 0) std::fill(count.begin(), count.end(), static_cast<double>(e.window_h * e.window_w));
  pool.windows([&](std::size_t o, std::size_t i) {
    y[o] += x[i] / count[o];
    dx[i] += dy[o] / count[o];
  });
  const auto in = as<T>(x), gradient = as<T>(dy);
  auto out = unset<T>(pool.outputs()), back = unset<T>(pool.inputs());
  run_rows(lanes, e.batch * e.out_height, kernels::AveragePoolForward<T>{in.data(), out.data(), e, whole});
  expect_near(out, y, tolerance, "average");
  run_rows(lanes, e.batch * e.height, kernels::AveragePoolGradient<T>{gradient.data(), back.data(), e, whole, 0});
  expect_near(back, dx, tolerance, "gradient of average");
}

TEST_P(ImageKernels, Pooling) {
  for (const PlainPool& pool : pools()) {
    in_every_type([&](auto zero, double tolerance) {
      check_max_pool<decltype(zero)>(lanes, pool, tolerance);
      for (const std::uint32_t whole : {0u, 1u}) check_average_pool<decltype(zero)>(lanes, pool, whole);
    });
  }
}

TEST_P(ImageKernels, GlobalAverage) {
  const std::int64_t batch = 2, pixels = 6, channels = 19;
  const Values x = test::rounded<BFloat16>(normal_values(batch * pixels * channels, 1));
  const Values dy = test::rounded<BFloat16>(normal_values(batch * channels, 2));
  Values y(dy.size()), dx;
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t c = 0; c < channels; ++c) {
        y[index_of(b * channels + c)] += x[index_of((b * pixels + p) * channels + c)] / 6;
        dx.push_back(dy[index_of(b * channels + c)] / 6);
      }
  in_every_type([&](auto zero, double tolerance) {
    using T = decltype(zero);
    const auto in = as<T>(x), gradient = as<T>(dy);
    auto out = unset<T>(batch * channels), back = unset<T>(batch * pixels * channels);
    run_rows(lanes, batch, kernels::GlobalAverageForward<T>{in.data(), out.data(), pixels, channels});
    run_rows(lanes, batch * pixels,
             kernels::GlobalAverageGradient<T>{gradient.data(), back.data(), pixels, channels, 0});
    expect_near(out, y, tolerance, "mean");
    expect_near(back, dx, tolerance, "gradient");
  });
}

/// Batch norm over 2 groups of 11 rows in stripes of 4.
class NormKernels : public ImageKernels {
 protected:
  static constexpr std::int64_t groups = 2, rows = 22, channels = 37, bands = 6;
  kernels::NormExtents e{.groups = groups, .group_rows = 11, .channels = channels, .stripes = 3, .stripe_rows = 4};
  // Exact in every type.
  Values x = test::rounded<BFloat16>(normal_values(rows * channels, 1, 3));
  Values dy = test::rounded<BFloat16>(normal_values(rows * channels, 2));
  Values mean = Values(groups * channels), variance = mean, total = mean, along = mean;

  static std::size_t at(std::int64_t row, std::int64_t c) { return index_of(row * channels + c); }
  template <class F>
  void each(F f) const {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < channels; ++c) f(at(r, c), at(r / 11, c));
  }
  void SetUp() override {
    each([&](std::size_t i, std::size_t g) { mean[g] += x[i] / 11; });
    each([&](std::size_t i, std::size_t g) { variance[g] += (x[i] - mean[g]) * (x[i] - mean[g]) / 11; });
    each([&](std::size_t i, std::size_t g) { total[g] += dy[i]; });
    each([&](std::size_t i, std::size_t g) { along[g] += dy[i] * (x[i] - mean[g]) / std::sqrt(variance[g]); });
  }
};

INSTANTIATE_TEST_SUITE_P(Lanes, NormKernels, testing::Values(1, 3, 4, 32));

template <class Kernel>
void each_element(std::int64_t n, const Kernel& kernel) {
  for (std::int64_t i = 0; i < n; ++i) kernel(i, Width<1>{});
}

TEST_P(NormKernels, MomentsAndSums) {
  in_every_type([&](auto zero, double tolerance) {
    using T = decltype(zero);
    using A = Accum<T>;
    const auto in = as<T>(x), gradient = as<T>(dy);
    auto pieces = unset<double>(bands * e.piece()), joined = unset<double>(groups * e.piece());
    run_columns(lanes, bands, channels, kernels::BatchNormMoments<T>{in.data(), pieces.data(), e});
    each_element(groups * channels, kernels::BatchNormJoin{pieces.data(), joined.data(), channels, 3});
    auto center = unset<A>(groups * channels), scale = unset<A>(groups * channels);
    each_element(groups * channels,
                 kernels::BatchNormFinish<A>{joined.data(), center.data(), scale.data(), channels, 0});
    expect_near(center, mean, tolerance, "mean");
    for (std::size_t g = 0; g < mean.size(); ++g)
      ASSERT_NEAR(static_cast<double>(scale[g]), 1 / std::sqrt(variance[g]), tolerance);
    EXPECT_EQ(joined[0], 11);
    EXPECT_EQ(joined[index_of(e.piece())], 11);

    auto sums = unset<double>(bands * 2 * channels), both = unset<double>(groups * 2 * channels);
    run_columns(lanes, bands, channels,
                kernels::BatchNormGradientSums<T>{in.data(), gradient.data(), nullptr, center.data(), scale.data(),
                                                  sums.data(), e});
    each_element(groups * 2 * channels, kernels::BatchNormJoinSums{sums.data(), both.data(), channels, 3});
    for (std::int64_t g = 0; g < groups; ++g)
      for (std::int64_t c = 0; c < channels; ++c) {
        ASSERT_NEAR(both[index_of(2 * g * channels + c)], total[at(g, c)], 30 * tolerance);
        ASSERT_NEAR(both[index_of((2 * g + 1) * channels + c)], along[at(g, c)], 30 * tolerance);
      }
  });
}

TEST_P(NormKernels, NormaliseAndInputGradient) {
  in_every_type([&](auto zero, double tolerance) {
    using T = decltype(zero);
    using A = Accum<T>;
    const Values gain = test::rounded<BFloat16>(normal_values(channels, 5));
    const Values bias = test::rounded<BFloat16>(normal_values(channels, 6));
    Values scale = variance, average = total, slope = along, want, want_dx;
    for (std::size_t g = 0; g < scale.size(); ++g) {
      scale[g] = 1 / std::sqrt(variance[g]);
      average[g] /= 11;
      slope[g] *= scale[g] / 11;
    }
    each([&](std::size_t i, std::size_t g) {
      const std::size_t c = i % channels;
      want.push_back(std::max((x[i] - mean[g]) * scale[g] * gain[c] + bias[c], 0.0));
      want_dx.push_back(1 + gain[c] * scale[g] * (dy[i] - average[g] - (x[i] - mean[g]) * slope[g]));
    });
    const auto in = as<T>(x), a = as<T>(gain), b = as<T>(bias), d = as<T>(dy);
    const auto m = as<A>(mean), s = as<A>(scale), u = as<A>(average), v = as<A>(slope);
    auto y = unset<T>(rows * channels), dx = as<T>(Values(x.size(), 1.0));
    run_rows(
        lanes, rows,
        kernels::BatchNormForward<T>{in.data(), a.data(), b.data(), m.data(), s.data(), y.data(), 11, channels, 1});
    expect_near(y, want, tolerance, "y");
    run_rows(lanes, rows,
             kernels::BatchNormInputGradient<T>{in.data(), d.data(), nullptr, a.data(), m.data(), s.data(), u.data(),
                                                v.data(), dx.data(), 11, channels, 1});
    expect_near(dx, want_dx, tolerance, "dx");
  });
}

}  // namespace
}  // namespace trireme
