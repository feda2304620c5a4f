// Laws 1 and 2 for recurrent layers, Transformer blocks, the further layers of images, and the optimizers that look at
// whole parameters; averages of weights, groups, plateaus and early stopping over a resumed run.
#include "datasets/shapes.hpp"
#include "tests/law/outcome.hpp"
#include "tests/law/run_under_test.hpp"
#include "tests/support/mpirun.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

struct Family {
  std::string name, arguments;
  friend std::ostream& operator<<(std::ostream& out, const Family& f) { return out << f.name; }
};

std::string name_of_family(const testing::TestParamInfo<Family>& one) { return one.param.name; }

class Families : public testing::TestWithParam<Family> {};

Outcome outcome_on(int ranks, const std::string& arguments) {
  const TempDir dir;
  const std::string out = dir / "out.json";
  return outcome_of(mpirun + "-n " + std::to_string(ranks) + " " TRIREME_BINARY_DIR "/tests/training_probe --data " +
                        probe_data() + " --out " + out + " --max-steps 8 " + arguments,
                    out);
}

TEST_P(Families, AnyNumberOfRanksTrainsTheSame) {
  const std::string arguments = GetParam().arguments + " --precision f64";
  const Outcome one = outcome_on(1, arguments), many = outcome_on(3, arguments);
  ASSERT_EQ(one.losses.size(), 8u);
  ASSERT_EQ(many.losses.size(), one.losses.size());
  EXPECT_NE(one.losses.back(), one.losses.front());
  for (std::size_t k = 0; k < one.losses.size(); ++k)
    EXPECT_NEAR(many.losses[k], one.losses[k], 1e-8 * one.losses[k]) << "step " << k;
  for (const auto& [name, values] : one.weights) EXPECT_LE(distance(values, many.weights.at(name)), 1e-7) << name;
}

/// 12 steps, and the same run on to 24, are 24 steps at once, bit for bit.
TEST_P(Families, AResumedRunIsTheSameBitForBit) {
  const TempDir dir;
  const RunUnderTest whole(dir / "whole"), run(dir / "run");
  const std::string arguments = GetParam().arguments + " --epochs 100 --checkpoint-every 12 --max-steps ";
  ASSERT_EQ(whole.run(2, arguments + "24"), 0) << whole.log_text();
  ASSERT_EQ(run.run(2, arguments + "12"), 0) << run.log_text();
  ASSERT_EQ(run.run(2, arguments + "24"), 0) << run.log_text();
  EXPECT_EQ(run.steps(), whole.steps());
  EXPECT_EQ(run.events("plateau"), whole.events("plateau"));
  ASSERT_EQ(run.checkpoints().back(), 24);
  EXPECT_EQ(tensors_of(run.checkpoint(24)), tensors_of(whole.checkpoint(24)));
}

INSTANTIATE_TEST_SUITE_P(
    Runs, Families,
    testing::Values(Family{"lstm", "--model lstm --optimizer rmsprop --learning-rate 0.003 --ema 0.9"},
                    Family{"gru", "--model gru --optimizer lion --learning-rate 0.001"},
                    Family{"transformer",
                           "--model transformer --optimizer muon --learning-rate 0.01 "
                           "--parameter-groups *.in_bias:rate=0"},
                    Family{"images", "--model images --optimizer lamb --learning-rate 0.01"},
                    Family{"adafactor", "--model mlp --optimizer adafactor --parameter-groups *.bias:rate=0.5"}),
    name_of_family);

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
