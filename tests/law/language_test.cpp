// Laws 1 and 2 for language models: however one global batch is split over ranks and micro-batches, losses and weights
// are the same, also where the parts have different numbers of targets; a resumed run is the uninterrupted one.
#include "tests/law/language_data.hpp"
#include "tests/law/outcome.hpp"
#include "tests/support/mpirun.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

Outcome run(int ranks, const std::string& arguments) {
  const TempDir dir;
  const std::string out = dir / "out.json";
  return outcome_of(mpirun + "-n " + std::to_string(ranks) + " " TRIREME_BINARY_DIR "/tests/language_probe --data " +
                        language_data() + " --out " + out + " " + arguments,
                    out);
}

struct Case {
  std::string name, arguments;
  double loss_tolerance, weight_tolerance;
  friend std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }
};

/// The key part of this bias has an analytically zero gradient, of which Adam makes steps of random sign.
bool compared(const std::string& parameter, const Case& c) {
  return c.loss_tolerance < 1e-8 || !parameter.ends_with("attn.c_attn.bias");
}

class LanguageLaw1 : public testing::TestWithParam<Case> {};

TEST_P(LanguageLaw1, AnySplitOfABatchTrainsTheSame) {
  const Case& c = GetParam();
  const Outcome one = run(1, c.arguments);
  ASSERT_EQ(one.losses.size(), 20u);
  EXPECT_LT(one.losses.back(), one.losses.front()) << "nothing was learnt, so agreement would prove nothing";
  for (const auto& [ranks, micro_batches] : std::vector<std::pair<int, int>>{{1, 3}, {2, 1}, {2, 3}, {3, 2}, {4, 1}}) {
    const std::string split = std::to_string(ranks) + " ranks, " + std::to_string(micro_batches) + " micro-batches";
    const Outcome many = run(ranks, c.arguments + " --accumulate " + std::to_string(micro_batches));
    ASSERT_EQ(many.losses.size(), one.losses.size());
    for (std::size_t k = 0; k < one.losses.size(); ++k) {
      EXPECT_NEAR(many.losses[k], one.losses[k], c.loss_tolerance * one.losses[k]) << split << ", step " << k;
      EXPECT_NEAR(many.norms[k], one.norms[k], 10 * c.loss_tolerance * one.norms[k]) << split << ", step " << k;
    }
    for (const auto& [name, values] : one.weights) {
      if (!compared(name, c)) continue;
      EXPECT_LE(distance(values, many.weights.at(name)), c.weight_tolerance) << split << ", " << name;
    }
    EXPECT_EQ(one.test.at(1), many.test.at(1)) << split << ": other targets were judged";
    EXPECT_NEAR(one.test.at(0), many.test.at(0), c.loss_tolerance * one.test.at(0)) << split;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, LanguageLaw1,
    testing::Values(
        Case{"gpt_f64", "--model gpt --precision f64 --optimizer sgd --learning-rate 0.1 --dropout 0.1", 1e-10, 1e-10},
        Case{"llama_apart_f64", "--model llama --precision f64 --optimizer sgd --learning-rate 0.1 --documents apart",
             1e-10, 1e-10},
        Case{"gpt_apart_adamw_f32", "--model gpt --optimizer adamw --documents apart --weight-decay 0.1", 1e-5, 1e-4}),
    [](const auto& c) { return c.param.name; });

TEST(LanguageLaw2, AResumedRunIsTheUninterruptedOne) {
  const std::string how =
      "--fit --model llama --documents apart --checkpoint-every 7 --skip-outlier-loss 9 --precision f64 ";
  const TempDir dir;
  const Outcome whole = run(2, how + "--run-dir " + (dir / "whole"));
  run(2, how + "--max-steps 9 --run-dir " + (dir / "parts"));
  const Outcome resumed = run(2, how + "--run-dir " + (dir / "parts"));
  ASSERT_FALSE(whole.weights.empty());
  EXPECT_EQ(whole.weights, resumed.weights);
  EXPECT_EQ(whole.test, resumed.test);
  run(3, how + "--max-steps 9 --run-dir " + (dir / "other"));
  const Outcome other = run(1, how + "--accumulate 2 --run-dir " + (dir / "other"));
  for (const auto& [name, values] : whole.weights) EXPECT_LE(distance(values, other.weights.at(name)), 1e-8) << name;
}

}  // namespace
}  // namespace trireme
