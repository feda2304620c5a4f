// Scores of outliers against the definition, and windows that are saved and go on.
#include "core/optim/outlier.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/error.hpp"

namespace trireme {
namespace {

double noise(int k) { return 2 + 0.1 * std::sin(12.9898 * k); }

TEST(Outlier, ScoresBeginWithAFullWindow) {
  OutlierWindow window;
  for (int k = 0; k < OutlierWindow::length; ++k) EXPECT_FALSE(window.score(noise(k)).has_value()) << k;
  double mean = 0, squares = 0;
  for (int k = 0; k < OutlierWindow::length; ++k) mean += noise(k) / OutlierWindow::length;
  for (int k = 0; k < OutlierWindow::length; ++k) squares += std::pow(noise(k) - mean, 2);
  const auto score = window.score(3);
  ASSERT_TRUE(score.has_value());
  EXPECT_NEAR(*score, (3 - mean) / std::sqrt(squares / OutlierWindow::length), 1e-9);
  EXPECT_GT(*score, 5);
}

TEST(Outlier, TheOldestValueLeaves) {
  OutlierWindow window;
  window.score(1e6);
  for (int k = 0; k < OutlierWindow::length; ++k) window.score(noise(k));
  EXPECT_LT(std::abs(*window.score(noise(5))), 3) << "the first value still counts";
}

TEST(Outlier, WhatIsNotFiniteHasNoScoreAndIsForgotten) {
  OutlierWindow window;
  for (int k = 0; k < OutlierWindow::length; ++k) window.score(noise(k));
  EXPECT_FALSE(window.score(std::numeric_limits<double>::quiet_NaN()).has_value());
  EXPECT_TRUE(std::isfinite(*window.score(2)));
}

TEST(Outlier, ASavedWindowGoesOn) {
  OutlierWindow first, second;
  for (int k = 0; k < 200; ++k) first.score(noise(k));
  second.restore(first.values());
  for (int k = 200; k < 300; ++k) EXPECT_EQ(first.score(noise(k)), second.score(noise(k)));
  EXPECT_THROW(second.restore(std::vector<double>(OutlierWindow::length + 1, 1.0)), Error);
  EXPECT_THROW(second.restore({std::numeric_limits<double>::infinity()}), Error);
}

}  // namespace
}  // namespace trireme
