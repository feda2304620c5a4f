// A host that is a step ahead of the device trains the same, bit for bit, and says the same of steps that could not be
// used, if a step later. On a GPU this is how every run goes; here the CPU is told to.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "launcher/run/checkpoint_reader.hpp"
#include "tests/law/run_under_test.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

class RunAhead : public testing::Test {
 protected:
  TempDir dir;
  RunUnderTest at_once{dir / "at-once"}, ahead{dir / "ahead"};
  // Nothing is printed before the end, so only what needs the host waits for the device.
  const std::string quiet = " --device cpu --log-every 1000", run_ahead = " --run-ahead on";

  static void expect_words(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words)
      EXPECT_NE(text.find(word), std::string::npos) << "no '" << word << "' in:\n" << text;
  }
};

TEST_F(RunAhead, WeightsStatesAndLossesAreTheSame) {
  const std::string what = "--max-steps 14 --accumulate 2 --clip 0.5 --checkpoint-every 5 --keep-last 5" + quiet;
  ASSERT_EQ(at_once.run(2, what), 0) << at_once.log_text();
  ASSERT_EQ(ahead.run(2, what + run_ahead), 0) << ahead.log_text();
  for (const std::int64_t step : {5, 14})
    EXPECT_EQ(tensors_of(ahead.checkpoint(step)), tensors_of(at_once.checkpoint(step))) << "step " << step;
  EXPECT_EQ(ahead.steps(), at_once.steps());
}

/// Position 41 is in step 4, in the part of rank 1; step 5 is queued when that is learnt.
TEST_F(RunAhead, ABadSampleIsFoundWithTheWeightsOfItsStep) {
  const std::string what = "--max-steps 8 --poison-first 41 --poison-last 41" + quiet;
  ASSERT_EQ(at_once.run(3, what), 0) << at_once.log_text();
  ASSERT_EQ(ahead.run(3, what + run_ahead), 0) << ahead.log_text();
  ASSERT_EQ(ahead.events("skipped").size(), 1u) << ahead.log_text();
  expect_words(ahead.events("skipped")[0], {"step 4", "rank 1", "gradient of"});
  EXPECT_EQ(tensors_of(ahead.checkpoint(8)), tensors_of(at_once.checkpoint(8)));
}

/// Bad from step 4 on; the third one is known when step 7 has been queued but for its update.
TEST_F(RunAhead, TooManyInARowEndWithThirteen) {
  EXPECT_EQ(ahead.run(2, "--max-steps 20 --max-skipped 3 --checkpoint-every 100 --poison-first 40 --poison-last 400" +
                             quiet + run_ahead),
            13);
  expect_words(ahead.log_text(), {"3 steps in a row", "up to step 6", "step 4", "rank 0", "--learning-rate"});
}

/// What a checkpoint counts is what its step came to.
TEST_F(RunAhead, TheCountSurvivesAResume) {
  const std::string poisoned =
      " --checkpoint-every 1 --keep-last 8 --poison-first 40 --poison-last 400" + quiet + run_ahead;
  ASSERT_EQ(ahead.run(2, "--max-steps 5 --max-skipped 3" + poisoned), 0) << ahead.log_text();
  for (const std::int64_t step : {3, 4, 5})
    EXPECT_EQ(read_manifest(ahead.checkpoint(step)).trainer.at("skipped"), step - 3) << "step " << step;
  EXPECT_EQ(ahead.run(2, "--max-steps 20 --max-skipped 3" + poisoned), 13);
  expect_words(ahead.log_text(), {"3 steps in a row", "up to step 6"});
}

/// The history of losses decides before the update, so here the host waits.
TEST_F(RunAhead, AnOutlierIsPassedOver) {
  const std::string what =
      "--max-steps 134 --model mlp --skip-outlier-loss 8 --poison-first 1560 --poison-last 1571 --poison-factor 300" +
      quiet;
  ASSERT_EQ(at_once.run(1, what), 0) << at_once.log_text();
  ASSERT_EQ(ahead.run(1, what + run_ahead), 0) << ahead.log_text();
  ASSERT_EQ(ahead.events("outlier").size(), 1u) << ahead.log_text();
  expect_words(ahead.events("outlier")[0], {"step 131", "deviations"});
  EXPECT_EQ(tensors_of(ahead.checkpoint(134)), tensors_of(at_once.checkpoint(134)));
}

}  // namespace
}  // namespace trireme
