// The search for the loss scale of f16 as a sequence of steps.
#include "core/optim/loss_scale.hpp"

#include <gtest/gtest.h>

namespace trireme {
namespace {

TEST(LossScale, DoublesAfterTheIntervalAndCountsAnew) {
  const LossScaling scaling{.first = 1024, .interval = 3};
  LossScale scale = scaling.begin();
  std::vector<double> values;
  for (int step = 0; step < 7; ++step) {
    scale = scaling.after_use(scale);
    values.push_back(scale.value);
  }
  EXPECT_EQ(values, (std::vector<double>{1024, 1024, 2048, 2048, 2048, 4096, 4096}));
  EXPECT_EQ(scale.steps, 1);
}

TEST(LossScale, HalvesAtOnceAndTheIntervalBeginsAgain) {
  const LossScaling scaling{.first = 1024, .interval = 3};
  LossScale scale = scaling.after_use(scaling.after_use(scaling.begin()));
  scale = LossScaling::after_overflow(scale);
  EXPECT_EQ(scale.value, 512);
  scale = scaling.after_use(scaling.after_use(scale));
  EXPECT_EQ(scale.value, 512) << "steps before an overflow must not count";
  EXPECT_EQ(scaling.after_use(scale).value, 1024);
}

TEST(LossScale, StaysWithinItsBounds) {
  const LossScaling scaling{.first = LossScaling::largest, .interval = 1};
  EXPECT_EQ(scaling.after_use(scaling.begin()).value, LossScaling::largest);
  LossScale scale{.value = 2};
  scale = LossScaling::after_overflow(scale);
  EXPECT_FALSE(LossScaling::is_exhausted(scale)) << "a scale of 1 may still be used";
  EXPECT_TRUE(LossScaling::is_exhausted(LossScaling::after_overflow(scale)));
}

}  // namespace
}  // namespace trireme
