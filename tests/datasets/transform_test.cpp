// Transforms against plain references, over odd sizes and all pixel widths, and their randomness.
#include "datasets/transform.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

Bytes counted(std::size_t count) {
  Bytes out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::uint8_t>(i * 37 + 11);
  return out;
}

template <class Out>
std::vector<Out> run(const TransformList& list, const RowType& type, const void* in, SampleKey key = {}) {
  TransformChain chain(list, type);
  std::vector<Out> out(chain.output().bytes() / sizeof(Out));
  chain.apply({static_cast<const std::byte*>(in), type.bytes()}, reinterpret_cast<std::byte*>(out.data()), key);
  return out;
}

TEST(Transform, NormaliseIsItsFormula) {
  const std::vector<double> mean = {0.1, 0.2, 0.3}, deviation = {0.5, 0.25, 2};
  for (const std::int64_t pixels : {1, 7, 63, 64, 65, 200}) {
    const RowType type{DType::u8, Shape{1, pixels, 3}};
    const Bytes in = counted(type.bytes());
    const auto f32 = run<float>({normalise({1 / 255., mean, deviation, DType::f32})}, type, in.data());
    const auto f64 = run<double>({normalise({1 / 255., mean, deviation, DType::f64})}, type, in.data());
    ASSERT_EQ(f32.size(), in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
      const double want = (in[i] / 255. - mean[i % 3]) / deviation[i % 3];
      EXPECT_NEAR(f32[i], want, 1e-6) << i;
      EXPECT_NEAR(f64[i], want, 1e-14) << i;
    }
  }
}

TEST(Transform, NormaliseTakesFloatsAndChecksItsArguments) {
  const std::vector<float> in = {1, 2, 3, 4};
  const auto out = run<double>({normalise({2, {1}, {4}, DType::f64})}, {DType::f32, Shape{4}}, in.data());
  EXPECT_EQ(out, (std::vector<double>{0.25, 0.75, 1.25, 1.75}));
  // Computed in f32 and rounded once.
  const auto half = run<BFloat16>({normalise({2, {1}, {4}, DType::bf16})}, {DType::f32, Shape{4}}, in.data());
  for (std::size_t k = 0; k < out.size(); ++k) EXPECT_EQ(half[k].bits, BFloat16(static_cast<float>(out[k])).bits) << k;
  EXPECT_THROW(normalise({1, {0, 0}, {1}, DType::f32}), Error);
  EXPECT_THROW(normalise({1, {0}, {0}, DType::f32}), Error);
  EXPECT_THROW(normalise({1, {0}, {1}, DType::i32}), Error);
  EXPECT_THROW(TransformChain({normalise({1, {0, 0}, {1, 1}, DType::f32})}, {DType::u8, Shape{4, 4, 3}}), Error);
  EXPECT_THROW(TransformChain({normalise({})}, {DType::i32, Shape{4}}), Error);
}

TEST(Transform, FlipMirrorsEveryPixelWidth) {
  for (const std::int64_t channels : {1, 2, 3, 4, 5}) {
    const RowType type{DType::u8, Shape{3, 7, channels}};
    const Bytes in = counted(type.bytes());
    const auto out = run<std::uint8_t>({random_horizontal_flip(1)}, type, in.data());
    for (std::int64_t y = 0; y < 3; ++y)
      for (std::int64_t x = 0; x < 7; ++x)
        for (std::int64_t c = 0; c < channels; ++c) {
          EXPECT_EQ(out[to_size((y * 7 + x) * channels + c)], in[to_size((y * 7 + 6 - x) * channels + c)]);
        }
    EXPECT_EQ(run<std::uint8_t>({random_horizontal_flip(0)}, type, in.data()), in);
  }
  EXPECT_THROW(random_horizontal_flip(1.5), Error);
  EXPECT_THROW(TransformChain({random_horizontal_flip()}, {DType::u8, Shape{28}}), Error);
}

TEST(Transform, FlipsAboutHalfOfTheSamples) {
  const RowType type{DType::u8, Shape{1, 2, 1}};
  const Bytes in = {1, 2};
  int flipped = 0;
  for (std::uint64_t position = 0; position < 4000; ++position) {
    flipped += run<std::uint8_t>({random_horizontal_flip(0.5)}, type, in.data(), {7, position, 0})[0] == 2;
  }
  EXPECT_NEAR(flipped, 2000, 160);  // five standard deviations
}

TEST(Transform, CropIsAWindowOfThePaddedImage) {
  const std::int64_t height = 5, width = 6, padding = 2;
  for (const std::int64_t channels : {1, 3}) {
    for (const auto& [h, w] : {std::pair<std::int64_t, std::int64_t>{0, 0}, {3, 4}, {9, 10}, {1, 1}}) {
      const RowType type{DType::u8, Shape{height, width, channels}};
      const Bytes in = counted(type.bytes());
      const std::int64_t out_h = h > 0 ? h : height, out_w = w > 0 ? w : width;
      std::set<std::pair<std::int64_t, std::int64_t>> places;
      for (std::uint64_t position = 0; position < 3000; ++position) {
        const auto out = run<std::uint8_t>({random_crop({padding, h, w})}, type, in.data(), {3, position, 0});
        const auto at = [&](std::int64_t y, std::int64_t x, std::int64_t c) -> int {
          if (y < 0 || y >= height || x < 0 || x >= width) return 0;
          return in[to_size((y * width + x) * channels + c)];
        };
        int matches = 0;
        for (std::int64_t top = -padding; top <= height + padding - out_h; ++top) {
          for (std::int64_t left = -padding; left <= width + padding - out_w; ++left) {
            bool same = true;
            for (std::int64_t i = 0; i < out_h * out_w * channels && same; ++i) {
              const std::int64_t pixel = i / channels;
              same = out[to_size(i)] == at(top + pixel / out_w, left + pixel % out_w, i % channels);
            }
            if (same) places.insert({top, left});
            matches += same;
          }
        }
        ASSERT_GE(matches, 1) << "position " << position << " is no window of the image";
      }
      const auto all = (height + 2 * padding - out_h + 1) * (width + 2 * padding - out_w + 1);
      EXPECT_EQ(std::ssize(places), all) << "not every place is reached";
    }
  }
  EXPECT_THROW(random_crop({-1, 0, 0}), Error);
  EXPECT_THROW(TransformChain({random_crop({0, 9, 9})}, {DType::u8, Shape{8, 9, 1}}), Error);
}

TEST(Transform, ListsRunInOrderWithNumbersOfTheirOwn) {
  const RowType type{DType::u8, Shape{8, 8, 1}};
  const Bytes in = counted(64);
  const TransformList list = {random_crop({2, 0, 0}), random_horizontal_flip(0.5), random_crop({0, 6, 6}),
                              normalise({})};
  EXPECT_EQ(TransformChain(list, type).output(), (RowType{DType::f32, Shape{6, 6, 1}}));
  std::set<std::vector<float>> different;
  for (std::uint64_t position = 0; position < 50; ++position) {
    const auto once = run<float>(list, type, in.data(), {1, position, 0});
    EXPECT_EQ(run<float>(list, type, in.data(), {1, position, 0}), once);
    different.insert(once);
  }
  EXPECT_GT(different.size(), 30U);
  // Two equal transforms in a list draw different numbers: both flips agree only half of the time.
  int unchanged = 0;
  for (std::uint64_t position = 0; position < 1000; ++position) {
    unchanged += run<std::uint8_t>({random_horizontal_flip(), random_horizontal_flip()}, type, in.data(),
                                   {1, position, 0}) == in;
  }
  EXPECT_NEAR(unchanged, 500, 80);
}

TEST(Widen, MakesNumbersOfBytes) {
  TransformChain chain({widen()}, {DType::u8, {3}});
  EXPECT_EQ(chain.output(), (RowType{DType::i32, {3}}));
  const std::array<std::uint8_t, 3> in{0, 127, 255};
  std::array<std::int32_t, 3> out{};
  chain.apply(std::as_bytes(std::span(in)), reinterpret_cast<std::byte*>(out.data()), {});
  EXPECT_EQ(out, (std::array<std::int32_t, 3>{0, 127, 255}));
  EXPECT_THROW(TransformChain({widen()}, {DType::f32, {3}}), Error);
}

}  // namespace
}  // namespace trireme
