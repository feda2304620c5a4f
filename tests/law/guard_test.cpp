// The numeric guard on real ranks: bad data makes steps that all ranks skip together, the first one names rank and
// tensor, and too many in a row end the job.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/law/run_under_test.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

class Guard : public testing::Test {
 protected:
  TempDir dir;
  RunUnderTest run{dir / "run"};
  static void expect_words(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words)
      EXPECT_NE(text.find(word), std::string::npos) << "no '" << word << "' in:\n" << text;
  }
};

/// A batch has 12 samples, 4 of each of 3 ranks: position 41 is in step 4 (36 to 47), in the part of rank 1.
TEST_F(Guard, OneBadSampleSkipsOneStepAndNamesRankAndTensor) {
  ASSERT_EQ(run.run(3, "--max-steps 8 --poison-first 41 --poison-last 41"), 0) << run.log_text();
  const auto skipped = run.events("skipped");
  ASSERT_EQ(skipped.size(), 1u) << run.log_text();
  expect_words(skipped[0], {"step 4", "rank 1", "gradient of"});
  EXPECT_EQ(run.steps().size(), 8u);
}

/// Nothing of a skipped step stays behind: the weights are those of a run that never looked at it.
TEST_F(Guard, ASkippedStepChangesNoWeight) {
  const RunUnderTest other(dir / "other");
  ASSERT_EQ(run.run(2, "--max-steps 3 --checkpoint-every 1 --keep-last 5"), 0);
  ASSERT_EQ(other.run(2, "--max-steps 4 --poison-first 40 --poison-last 40"), 0);
  const auto before = tensors_of(run.checkpoint(3)), after = tensors_of(other.checkpoint(4));
  for (const auto& [label, bytes] : before)
    if (!label.starts_with("state/")) {
      EXPECT_EQ(bytes, after.at(label)) << label;
    }
}

TEST_F(Guard, TooManyInARowEndWithThirteenAndTheFirstOne) {
  EXPECT_EQ(run.run(2, "--max-steps 20 --max-skipped 3 --checkpoint-every 2 --poison-first 40 --poison-last 400"), 13);
  expect_words(run.log_text(), {"3 steps in a row", "up to step 6", "step 4", "rank 0", "--learning-rate"});
  EXPECT_EQ(run.checkpoints().back(), 4);
}

/// A resumed run goes on counting where it was.
TEST_F(Guard, TheCountSurvivesAResume) {
  const std::string poisoned = " --checkpoint-every 1 --poison-first 40 --poison-last 400";
  ASSERT_EQ(run.run(2, "--max-steps 5 --max-skipped 3" + poisoned), 0);
  EXPECT_EQ(run.run(2, "--max-steps 20 --max-skipped 3" + poisoned), 13);
  expect_words(run.log_text(), {"3 steps in a row", "up to step 6"});
}

/// Positions 1560 to 1571 are step 131: the window of 128 is full, and a resumed run has kept it.
TEST_F(Guard, AnOutlierIsPassedOverOnAllRanksAlsoAfterAResume) {
  const std::string jump =
      " --model mlp --checkpoint-every 10 --skip-outlier-loss 8 --poison-first 1560 --poison-last 1571 "
      "--poison-factor 300";
  const RunUnderTest whole(dir / "whole");
  ASSERT_EQ(whole.run(2, "--max-steps 134" + jump), 0) << whole.log_text();
  ASSERT_EQ(run.run(2, "--max-steps 120" + jump), 0) << run.log_text();
  EXPECT_EQ(run.events("outlier").size(), 0u);
  ASSERT_EQ(run.run(2, "--max-steps 134" + jump), 0) << run.log_text();
  for (const RunUnderTest* one : std::initializer_list<const RunUnderTest*>{&whole, &run}) {
    const auto events = one->events("outlier");
    ASSERT_EQ(events.size(), 1u) << one->log_text();
    expect_words(events[0], {"step 131", "deviations"});
  }
  EXPECT_EQ(tensors_of(run.checkpoint(134)), tensors_of(whole.checkpoint(134)));
  // Without the guard the jump goes into the weights.
  const RunUnderTest without(dir / "without");
  ASSERT_EQ(without.run(2, "--max-steps 134" + jump + " --skip-outlier-loss 0"), 0);
  EXPECT_NE(tensors_of(without.checkpoint(134)), tensors_of(whole.checkpoint(134)));
}

}  // namespace
}  // namespace trireme
