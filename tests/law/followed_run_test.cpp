// Averages of weights, frozen parameters, plateaus and early stopping over a run that is resumed.
#include <gtest/gtest.h>

#include "tests/law/run_under_test.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

class FollowedRun : public testing::Test {
 protected:
  TempDir dir;
  RunUnderTest run{dir / "run"};
  const std::string often = "--model mlp --epochs 100 --validate-every 3 --checkpoint-every 12 ";
};

TEST_F(FollowedRun, TheRateOfAPlateauAndItsAveragesAreResumed) {
  const std::string arguments = often + "--plateau 1 --plateau-factor 0.5 --ema 0.5 --learning-rate 0.3 --max-steps ";
  const RunUnderTest whole(dir / "whole");
  ASSERT_EQ(whole.run(2, arguments + "24"), 0) << whole.log_text();
  ASSERT_FALSE(whole.events("plateau").empty()) << "the rate never fell, so agreement would prove nothing";
  ASSERT_EQ(run.run(2, arguments + "12"), 0) << run.log_text();
  ASSERT_EQ(run.run(2, arguments + "24"), 0) << run.log_text();
  EXPECT_EQ(run.steps(), whole.steps());
  EXPECT_EQ(run.validations(), whole.validations());
  EXPECT_EQ(run.events("plateau"), whole.events("plateau"));
  EXPECT_EQ(tensors_of(run.checkpoint(24)), tensors_of(whole.checkpoint(24)));
}

TEST_F(FollowedRun, EndsEarlyWhereNothingImprovesAndStaysEnded) {
  const std::string arguments = often + "--early-stop 2 --learning-rate 0 --max-steps 60";
  ASSERT_EQ(run.run(2, arguments), 0) << run.log_text();
  EXPECT_EQ(run.steps().back().first, 9);  // the first validation is the best, two bring nothing
  EXPECT_EQ(run.events("early_stop").size(), 1u);
  ASSERT_EQ(run.run(2, arguments), 0) << run.log_text();
  EXPECT_EQ(run.steps().back().first, 9);
  EXPECT_EQ(run.run(2, often + "--learning-rate 0 --max-steps 12"), 0) << run.log_text();
  EXPECT_EQ(run.steps().back().first, 12);
}

TEST_F(FollowedRun, WhatCannotBeFollowedIsRefusedInWords) {
  const auto refused = [&](const std::string& arguments, const std::string& words) {
    EXPECT_EQ(run.run(1, arguments), 2) << run.log_text();
    EXPECT_NE(run.log_text().find(words), std::string::npos) << run.log_text();
  };
  refused("--early-stop 2 --validation 0", "hold some out by --validation");
  refused("--parameter-groups *:frozen", "there is nothing to train");
  ASSERT_EQ(run.run(1, often + "--max-steps 12"), 0) << run.log_text();
  refused(often + "--max-steps 24 --ema 0.9", "saved by a run without --ema");
}

TEST_F(FollowedRun, FrozenParametersStayAsTheyAre) {
  ASSERT_EQ(run.run(1, often + "--max-steps 12 --parameter-groups 1.*:frozen"), 0) << run.log_text();
  const RunUnderTest other(dir / "other");
  ASSERT_EQ(other.run(1, often + "--max-steps 24 --parameter-groups 1.*:frozen"), 0) << other.log_text();
  const auto a = tensors_of(run.checkpoint(12)), b = tensors_of(other.checkpoint(24));
  EXPECT_EQ(a.at("param/1.weight"), b.at("param/1.weight"));
  EXPECT_NE(a.at("param/3.weight"), b.at("param/3.weight"));
}

}  // namespace
}  // namespace trireme
