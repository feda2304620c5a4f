// Scores to numbers: against the definitions, pair by pair, on random scores with ties.
#include "launcher/run/class_metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/base/error.hpp"

namespace trireme {
namespace {

struct Drawn {
  std::size_t classes = 4;
  std::vector<float> scores;
  std::vector<std::int32_t> truth;
  ClassScores given() const { return {classes, scores, truth}; }
};

Drawn draw(std::uint64_t seed, std::size_t samples) {
  std::mt19937_64 random(seed);
  Drawn out;
  for (std::size_t k = 0; k < samples; ++k) {
    out.truth.push_back(static_cast<std::int32_t>(random() % 3));  // nobody is of the last class
    for (std::size_t c = 0; c < out.classes; ++c) out.scores.push_back(static_cast<float>(random() % 8));
  }
  return out;
}

TEST(ClassMetrics, AreasAreSharesOfPairs) {
  const Drawn drawn = draw(17, 120);
  const std::vector<double> areas = roc_auc(drawn.given());
  ASSERT_EQ(areas.size(), 4U);
  for (std::size_t c = 0; c < 3; ++c) {
    double right = 0, pairs = 0;
    for (std::size_t a = 0; a < drawn.truth.size(); ++a)
      for (std::size_t b = 0; b < drawn.truth.size(); ++b) {
        if (static_cast<std::size_t>(drawn.truth[a]) != c || static_cast<std::size_t>(drawn.truth[b]) == c) continue;
        const float own = drawn.scores[a * 4 + c], other = drawn.scores[b * 4 + c];
        right += own > other ? 1 : own == other ? 0.5 : 0;
        pairs += 1;
      }
    EXPECT_NEAR(areas[c], right / pairs, 1e-12) << c;
  }
  EXPECT_TRUE(std::isnan(areas[3]));
  EXPECT_NEAR(mean_of_numbers(areas), (areas[0] + areas[1] + areas[2]) / 3, 1e-12);
}

TEST(ClassMetrics, TopKCountsEqualScoresAgainst) {
  const std::vector<float> scores{3, 2, 1, 2, 2, 0, 1, 2, 3};
  const std::vector<std::int32_t> truth{0, 0, 0};
  const ClassScores given{3, scores, truth};
  EXPECT_NEAR(top_k_accuracy(given, 1), 1.0 / 3, 1e-12);
  EXPECT_NEAR(top_k_accuracy(given, 2), 2.0 / 3, 1e-12);
  EXPECT_NEAR(top_k_accuracy(given, 5), 1, 1e-12);
  EXPECT_TRUE(std::isnan(top_k_accuracy({3, {}, {}}, 1)));
}

TEST(ClassMetrics, WhatIsNoNumberIsRefused) {
  const std::vector<float> scores{1, std::nanf(""), 2, 3};
  const std::vector<std::int32_t> truth{0, 1};
  EXPECT_THROW(roc_auc({2, scores, truth}), Error);
  EXPECT_THROW(roc_auc({3, scores, truth}), Error);
}

}  // namespace
}  // namespace trireme
