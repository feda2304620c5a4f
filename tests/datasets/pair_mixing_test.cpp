// mixup and cutmix: the batch is the formula's, whatever part, thread or start it is made by, and shares have their
// distribution.
#include "datasets/pair_mixing.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "datasets/loader.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

class PairMixingTest : public testing::Test {
 protected:
  static constexpr std::int64_t pixels = 30;
  void SetUp() override { write_small(dir_ / "small", {.rows = 53, .shard_rows = 20}); }
  LoaderOptions options(const PairMixing& mixing) const {
    return {.batch = 9,
            .seed = 4,
            .threads = 0,
            .transforms = {{"image", {random_crop({2, 0, 0}), random_horizontal_flip(), normalise({})}}},
            .mixing = mixing};
  }
  Samples samples() const { return open_small(dir_ / "small"); }
  TempDir dir_;
};

/// What a stream of batches holds, row after row.
struct Rows {
  std::vector<float> images, weight, weight2;
  std::vector<std::int32_t> label, label2;
  friend bool operator==(const Rows&, const Rows&) = default;

  void add(const Batch& batch) {
    const auto append = [&]<class T>(const char* field, std::vector<T>& to) {
      const auto values = batch.field(field).to_vector<T>();
      to.insert(to.end(), values.begin(), values.end());
    };
    append("image", images);
    append("label", label);
    append("label2", label2);
    append("label_weight", weight);
    append("label2_weight", weight2);
  }
};

TEST_F(PairMixingTest, TheSameForAnyPartsThreadsAndStarts) {
  constexpr int batches = 7;
  for (const PairMixing& mixing : {PairMixing{.mixup = 0.4}, PairMixing{.mixup = 1, .cutmix = 1}}) {
    Rows whole;
    Loader alone(samples(), options(mixing));
    for (int k = 0; k < batches; ++k) whole.add(alone.next());
    for (const int parts : {2, 3, 5}) {
      std::vector<std::unique_ptr<Loader>> loaders;
      for (int part = 0; part < parts; ++part) {
        LoaderOptions one = options(mixing);
        one.part = part;
        one.parts = parts;
        one.threads = part % 3;
        loaders.push_back(std::make_unique<Loader>(samples(), one));
      }
      Rows together;
      for (int k = 0; k < batches; ++k)
        for (const auto& loader : loaders) together.add(loader->next());
      EXPECT_TRUE(together == whole) << parts << " parts, bit for bit";
    }
    LoaderOptions later = options(mixing);
    later.start = 27;
    Loader resumed(samples(), later);
    Rows rest;
    for (int k = 3; k < batches; ++k) rest.add(resumed.next());
    EXPECT_EQ(rest.images, std::vector<float>(whole.images.begin() + 27 * pixels, whole.images.end()));
    EXPECT_EQ(rest.label2, std::vector<std::int32_t>(whole.label2.begin() + 27, whole.label2.end()));
  }
}

TEST_F(PairMixingTest, IsItsFormula) {
  LoaderOptions plain_options = options({});
  plain_options.batch = 54;
  Loader plain(samples(), plain_options);
  const Batch before = plain.next();
  const auto own = before.field("image").span<float>();
  const auto labels = before.field("label").span<std::int32_t>();
  for (const bool cut : {false, true}) {
    Loader loader(samples(), options(cut ? PairMixing{.cutmix = 1} : PairMixing{.mixup = 0.5}));
    Rows mixed;
    for (int k = 0; k < 6; ++k) mixed.add(loader.next());
    for (std::size_t row = 0; row < 54; ++row) {
      const std::size_t other = row ^ 1;
      EXPECT_EQ(mixed.label[row], labels[row]);
      EXPECT_EQ(mixed.label2[row], labels[other]);
      EXPECT_NEAR(mixed.weight[row] + mixed.weight2[row], 1, 1e-6);
      std::int64_t foreign = 0;
      for (std::size_t k = 0; k < pixels; ++k) {
        const float a = own[row * pixels + k], b = own[other * pixels + k], found = mixed.images[row * pixels + k];
        if (!cut) {
          ASSERT_NEAR(found, mixed.weight[row] * a + mixed.weight2[row] * b, 1e-6) << row << ", " << k;
        } else {
          ASSERT_TRUE(found == a || found == b) << row << ", " << k;
          foreign += found != a;
        }
      }
      if (cut) {
        EXPECT_LE(static_cast<double>(foreign), mixed.weight2[row] * pixels + 1e-4) << "equal pixels do not count";
      }
    }
  }
}

TEST_F(PairMixingTest, CutRectanglesHaveTheArea) {
  const detail::PairMixer mixer({.cutmix = 1}, 3, {DType::f32, Shape{20, 30, 2}});
  double area = 0;
  for (std::uint64_t position = 0; position < 500; ++position) {
    std::vector<float> own(1200, 1), neighbour(1200, 2);
    const detail::PairShare share = mixer.share_of(position);
    mixer.mix(share, reinterpret_cast<std::byte*>(own.data()), reinterpret_cast<const std::byte*>(neighbour.data()));
    const auto foreign = static_cast<double>(std::ranges::count(own, 2.0f)) / 1200;
    ASSERT_NEAR(foreign, 1 - share.own, 1e-12) << position;
    area += foreign / 500;
  }
  EXPECT_TRUE(area > 0.2 && area < 0.5) << "half of the images without those parts that lie outside: " << area;
}

TEST_F(PairMixingTest, SharesAreOfTheBetaDistribution) {
  for (const double alpha : {0.1, 0.4, 1.0, 2.0}) {
    const detail::PairMixer mixer({.mixup = alpha}, 11, {DType::f32, Shape{2, 2, 1}});
    constexpr int count = 20000;
    double mean = 0, square = 0;
    for (std::uint64_t position = 0; position < count; ++position) {
      const double share = mixer.share_of(position).own;
      ASSERT_TRUE(share >= 0 && share <= 1) << share;
      mean += share / count;
      square += share * share / count;
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(variance / count)) << alpha;
    EXPECT_NEAR(square - mean * mean, variance, 0.03 * variance) << alpha;
  }
}

TEST_F(PairMixingTest, WithBothEachSampleTakesOne) {
  const detail::PairMixer mixer({.mixup = 1, .cutmix = 1}, 5, {DType::f32, Shape{8, 8, 1}});
  int cut = 0;
  for (std::uint64_t position = 0; position < 1000; ++position) cut += mixer.share_of(position).cut;
  EXPECT_NEAR(cut, 500, 80);  // five standard deviations
}

TEST_F(PairMixingTest, WhatCannotBeMixedIsRefused) {
  LoaderOptions raw = options({.mixup = 1});
  raw.transforms = {};
  expect_error(ExitCode::usage, {"floating", "image is u8"}, [&] { Loader(samples(), raw); });
  expect_error(ExitCode::usage, {"Beta(3, 3)"}, [&] { Loader(samples(), options({.mixup = 3})); });
  expect_error(ExitCode::usage, {"as label", "id is i64"},
               [&] { Loader(samples(), options({.mixup = 1, .label = "id"})); });
  LoaderOptions judged = options({.mixup = 1});
  judged.pass = Pass::evaluate;
  Loader evaluation(samples(), judged);
  EXPECT_THROW(evaluation.next().field("label2"), Error) << "an evaluation is not mixed";
}

}  // namespace
}  // namespace trireme
