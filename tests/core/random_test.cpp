// Random numbers and schedules: known answers of Philox, moments of the draws, rates at the corners.
#include "core/base/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/optim/schedule.hpp"

namespace trireme {
namespace {

TEST(Philox, GivesThePublishedAnswers) {
  // The known-answer vectors of the authors' Random123 library (philox4x32, 10 rounds).
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (std::array<std::uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(philox({0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}, {0xffffffffu, 0xffffffffu}),
            (std::array<std::uint32_t, 4>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}),
            (std::array<std::uint32_t, 4>{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

TEST(Draws, HaveTheMomentsOfTheirDistributions) {
  double mean = 0, square = 0, uniform = 0;
  constexpr int n = 200000;
  for (std::uint32_t i = 0; i < n; ++i) {
    const auto bits = philox({i, 0, 0, 0}, {7, 9});
    const double z = normal_from(bits);
    mean += z / n;
    square += z * z / n;
    const double u = uniform_from(bits[0], bits[1]);
    ASSERT_GT(u, 0);
    ASSERT_LT(u, 1);
    uniform += u / n;
  }
  EXPECT_NEAR(mean, 0, 0.01);  // 4.5 standard errors
  EXPECT_NEAR(square, 1, 0.015);
  EXPECT_NEAR(uniform, 0.5, 0.003);
}

TEST(RandomKey, DependsOnNameAndSeed) {
  std::set<std::uint64_t> keys;
  for (const char* name : {"a", "b", "ab", "0.weight", "0.bias", "1.weight"})
    for (std::uint64_t seed = 0; seed < 50; ++seed) keys.insert(random_key(name, seed));
  EXPECT_EQ(keys.size(), 300u);
}

TEST(Schedule, IsStableAndThenDecays) {
  const Schedule wsd{.kind = Schedule::Kind::wsd, .rate = 2, .warmup = 4, .total = 100, .floor = 0.5, .decay = 20};
  EXPECT_DOUBLE_EQ(wsd.at(0), 0.5);
  EXPECT_DOUBLE_EQ(wsd.at(4), 2);
  EXPECT_DOUBLE_EQ(wsd.at(80), 2);
  EXPECT_DOUBLE_EQ(wsd.at(90), 1.25);
  EXPECT_DOUBLE_EQ(wsd.at(100), 0.5);
  EXPECT_DOUBLE_EQ(wsd.at(1000), 0.5);
}

TEST(Schedule, RisesThenFalls) {
  const Schedule cosine{.kind = Schedule::Kind::cosine, .rate = 2, .warmup = 4, .total = 104, .floor = 0.2};
  EXPECT_DOUBLE_EQ(cosine.at(0), 0.5);
  EXPECT_DOUBLE_EQ(cosine.at(3), 2);
  EXPECT_DOUBLE_EQ(cosine.at(4), 2);
  EXPECT_NEAR(cosine.at(54), 1.1, 1e-12);
  EXPECT_NEAR(cosine.at(104), 0.2, 1e-12);
  EXPECT_NEAR(cosine.at(100000), 0.2, 1e-12);
  const Schedule step{.kind = Schedule::Kind::step, .rate = 1, .every = 10, .factor = 0.5};
  EXPECT_DOUBLE_EQ(step.at(9), 1);
  EXPECT_DOUBLE_EQ(step.at(10), 0.5);
  EXPECT_DOUBLE_EQ(step.at(25), 0.25);
  EXPECT_DOUBLE_EQ(Schedule{.rate = 3}.at(1000), 3);
}

}  // namespace
}  // namespace trireme
