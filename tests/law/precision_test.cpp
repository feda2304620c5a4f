// Mixed precision on real ranks: 16-bit weights with f32 masters train as f32 does, alike on any number of ranks,
// resume bit for bit after a kill, and exchange weights with runs in f32; the loss scale of fp16 is searched by all
// ranks together, apart from the numeric guard.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <span>

#include "core/io/file.hpp"
#include "launcher/run/checkpoint_reader.hpp"
#include "tests/law/language_data.hpp"
#include "tests/law/outcome.hpp"
#include "tests/law/run_under_test.hpp"
#include "tests/support/mpirun.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

Outcome probe(const std::string& program, int ranks, const std::string& arguments) {
  const TempDir dir;
  const std::string out = dir / "out.json";
  return outcome_of(
      fmt::format("{}-n {} {}/tests/{} --out {} {}", mpirun, ranks, TRIREME_BINARY_DIR, program, out, arguments), out);
}

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << "no '" << word << "' in:\n" << text;
}

TEST(Precision, ASmallGptInSixteenBitsFollowsTheLossOfF32) {
  const std::string how = fmt::format(
      "--data {} --model gpt --max-steps 200 --epochs 1000 --learning-rate 0.003 --optimizer adamw ", language_data());
  const Outcome wide = probe("language_probe", 1, how);
  ASSERT_EQ(wide.losses.size(), 200u);
  ASSERT_LT(wide.losses.back(), 0.7 * wide.losses.front()) << "nothing was learnt, so agreement would prove nothing";
  for (const std::string precision : {"bf16", "bf16 --gradients half", "fp16 --loss-scale 256", "tf32"}) {
    const Outcome half = probe("language_probe", 1, how + "--precision " + precision);
    ASSERT_EQ(half.losses.size(), 200u) << precision;
    EXPECT_NEAR(mean(half.losses), mean(wide.losses), 0.005 * mean(wide.losses)) << precision;
    // Where the loss falls fast, a step more or less is a per cent.
    for (std::size_t first = 0; first < 200; first += 20) {
      const double want = mean(std::span(wide.losses).subspan(first, 20));
      EXPECT_NEAR(mean(std::span(half.losses).subspan(first, 20)), want, 0.03 * want) << precision << ", " << first;
    }
    EXPECT_EQ(half.losses == wide.losses, precision == "tf32") << precision << ": a CPU computes tf32 in f32";
  }
}

TEST(Precision, AnyNumberOfRanksTrainsTheSame) {
  const std::string data = fmt::format("--data {} ", probe_data());
  for (const std::string how :
       {"--model cnn --precision bf16", "--model norm --precision fp16 --loss-scale 256 --optimizer adamw",
        "--model mlp --precision bf16 --gradients half --optimizer sgd"}) {
    const Outcome one = probe("training_probe", 1, data + how), two = probe("training_probe", 2, data + how);
    ASSERT_EQ(one.losses.size(), 20u);
    EXPECT_LT(one.losses.back(), one.losses.front()) << how;
    for (std::size_t k = 0; k < one.losses.size(); ++k) {
      EXPECT_NEAR(two.losses[k], one.losses[k], 0.01 * one.losses[k]) << how << ", step " << k;
      EXPECT_NEAR(two.norms[k], one.norms[k], 0.05 * one.norms[k]) << how << ", step " << k;
    }
    for (const auto& [name, values] : one.weights) EXPECT_LE(distance(values, two.weights.at(name)), 0.02) << name;
  }
}

class PrecisionRun : public testing::Test {
 protected:
  TempDir dir;
  RunUnderTest run{dir / "run"};

  static Json trainer_of(const RunUnderTest& of, std::int64_t step) {
    return CheckpointReader(of.checkpoint(step)).manifest().trainer;
  }
};

/// With a scale that is searched downwards and upwards around the kill.
TEST_F(PrecisionRun, AKilledRunGoesOnBitForBit) {
  for (const std::string how : {"--precision bf16", "--precision bf16 --gradients half",
                                "--precision fp16 --loss-scale 16777216 --loss-scale-interval 4"}) {
    const RunUnderTest whole(dir / fmt::format("whole{}", how.size())),
        killed(dir / fmt::format("killed{}", how.size()));
    const std::string arguments = how + " --epochs 100 --max-steps 60 --checkpoint-every 7";
    ASSERT_EQ(whole.run(2, arguments), 0) << whole.log_text();
    {
      StartedJob job = killed.start(2, arguments);
      ASSERT_TRUE(job.wait_until([&] { return killed.steps().size() >= 17; })) << job.log_text();
      ::kill(job.rank_pids().at(1), SIGKILL);
      EXPECT_NE(job.wait(), 0);
    }
    ASSERT_LT(killed.steps().size(), 60u);
    ASSERT_EQ(killed.run(2, arguments), 0) << killed.log_text();
    EXPECT_EQ(whole.steps(), killed.steps()) << how;
    EXPECT_EQ(tensors_of(whole.checkpoint(60)), tensors_of(killed.checkpoint(60))) << how;
    EXPECT_EQ(trainer_of(whole, 60)["loss_scale"], trainer_of(killed, 60)["loss_scale"]);
    EXPECT_EQ(trainer_of(whole, 60)["loss_scale_steps"], trainer_of(killed, 60)["loss_scale_steps"]);
    EXPECT_EQ(trainer_of(whole, 60)["overflows"], trainer_of(killed, 60)["overflows"]);
  }
}

/// Saved are the masters: a run in another precision begins with exactly these, or with these rounded.
TEST_F(PrecisionRun, WeightsGoFromOnePrecisionToAnother) {
  const RunUnderTest wide(dir / "wide"), back(dir / "back");
  const std::string still = "--max-steps 1 --learning-rate 0 --init-from ";
  ASSERT_EQ(run.run(2, "--precision bf16 --max-steps 8"), 0) << run.log_text();
  ASSERT_EQ(wide.run(1, still + run.folder()), 0) << wide.log_text();
  ASSERT_EQ(back.run(1, "--precision fp16 " + still + wide.folder()), 0) << back.log_text();
  const auto from = tensors_of(run.checkpoint(8)), in_f32 = tensors_of(wide.checkpoint(1)),
             again = tensors_of(back.checkpoint(1));
  std::size_t compared = 0;
  const CheckpointReader reader(run.checkpoint(8));
  for (const SavedTensor& tensor : reader.manifest().tensors) {
    EXPECT_EQ(tensor.dtype, DType::f32) << tensor.label();
    if (tensor.plane != "param") continue;
    ++compared;
    EXPECT_EQ(from.at(tensor.label()), in_f32.at(tensor.label())) << tensor.label();
    EXPECT_EQ(from.at(tensor.label()), again.at(tensor.label())) << tensor.label();
  }
  EXPECT_GT(compared, 3u);
}

TEST_F(PrecisionRun, AnotherPrecisionDoesNotGoOnWithARun) {
  ASSERT_EQ(run.run(1, "--precision bf16 --max-steps 2"), 0) << run.log_text();
  EXPECT_EQ(run.run(1, "--max-steps 4"), 2);
  expect_words(run.log_text(), {"--precision f32 (was bf16)", "--init-from"});
  EXPECT_EQ(run.run(1, "--precision f32 --gradients half --max-steps 4"), 2);
  expect_words(run.log_text(), {"--gradients half", "bf16 or fp16"});
}

/// A batch has 12 samples: positions 36 to 47 are step 4. One rank's part is broken, all give the step up.
TEST_F(PrecisionRun, AStepThatOverflowsHalvesTheScaleAndChangesNothing) {
  const RunUnderTest other(dir / "other");
  const std::string how = "--precision fp16 --loss-scale 256 --checkpoint-every 1 --keep-last 5 ";
  ASSERT_EQ(run.run(2, how + "--max-steps 3"), 0) << run.log_text();
  ASSERT_EQ(other.run(2, how + "--max-steps 5 --max-skipped 1 --break-first 41 --break-last 41"), 0)
      << other.log_text();
  const auto overflows = other.events("overflow");
  ASSERT_EQ(overflows.size(), 1u) << other.log_text();
  expect_words(overflows[0], {"step 4", "256", "128"});
  EXPECT_TRUE(other.events("skipped").empty()) << "the search for the scale is no damage";
  const auto before = tensors_of(run.checkpoint(3)), after = tensors_of(other.checkpoint(4)),
             later = tensors_of(other.checkpoint(5));
  bool moved = false;
  for (const auto& [label, bytes] : before) {
    if (label.starts_with("state/")) continue;
    EXPECT_EQ(bytes, after.at(label)) << label;
    moved = moved || bytes != later.at(label);
  }
  EXPECT_TRUE(moved);
  const Json counts = trainer_of(other, 5);
  EXPECT_EQ(counts["loss_scale"], 128);
  EXPECT_EQ(counts["loss_scale_steps"], 1);
  EXPECT_EQ(counts["overflows"], 1);
  EXPECT_EQ(counts["skipped"], 0);
}

TEST_F(PrecisionRun, AScaleBelowOneEndsAsTheGuard) {
  EXPECT_EQ(run.run(2, "--precision fp16 --loss-scale 4 --max-steps 20 --break-first 36 --break-last 400"), 13);
  expect_words(run.log_text(), {"step 6", "loss scale of 1", "gradient of", "--precision bf16"});
}

/// A loss that is not finite is no matter of the scale.
TEST_F(PrecisionRun, ALossThatIsNotFiniteIsLeftToTheGuard) {
  ASSERT_EQ(run.run(2, "--precision fp16 --loss-scale 256 --max-steps 6 --poison-first 41 --poison-last 41"), 0)
      << run.log_text();
  EXPECT_EQ(run.events("skipped").size(), 1u);
  EXPECT_TRUE(run.events("overflow").empty());
  // In f32 gradients that are not finite are the guard's too.
  const RunUnderTest wide(dir / "wide");
  ASSERT_EQ(wide.run(2, "--max-steps 6 --break-first 41 --break-last 41"), 0) << wide.log_text();
  EXPECT_EQ(wide.events("skipped").size(), 1u);
}

/// The largest scale is far too large for most networks: it is found by halving, and training then goes on.
TEST_F(PrecisionRun, TheScaleIsFoundFromAbove) {
  ASSERT_EQ(run.run(2, "--precision fp16 --loss-scale 16777216 --max-steps 40 --epochs 100 --max-skipped 1"), 0)
      << run.log_text();
  const Json counts = trainer_of(run, 40);
  EXPECT_GT(counts["overflows"], 2);
  EXPECT_LT(counts["loss_scale"], 16777216);
  std::ifstream file(run.folder() + "/metrics.jsonl");
  std::vector<double> scales;
  for (std::string line; std::getline(file, line);) {
    const Json record = Json::parse(line);
    if (record["kind"] == "step") scales.push_back(record.at("loss_scale"));
  }
  ASSERT_EQ(scales.size(), 40u);
  EXPECT_EQ(scales.front(), 16777216);
  EXPECT_EQ(scales.back(), counts["loss_scale"]);
}

}  // namespace
}  // namespace trireme
