// `trireme checkpoint diff`: equal, different, or different within a tolerance.
#include <gtest/gtest.h>

#include <limits>

#include "launcher/run/checkpoint_reader.hpp"
#include "tests/launcher/checkpoint_command_helpers.hpp"

namespace trireme {
namespace {

class CheckpointDiff : public testing::Test {
 protected:
  /// Saves both as checkpoints of two places.
  Answer diff(const TestCheckpoint& a, const TestCheckpoint& b, const std::vector<std::string>& options = {}) {
    path_a_ = save(dir_ / "a", a);
    path_b_ = save(dir_ / "b", b);
    std::vector<std::string> words = {"diff", path_a_, path_b_};
    words.insert(words.end(), options.begin(), options.end());
    return checkpoint(words);
  }
  static TestCheckpoint of(std::vector<TestTensor> tensors) { return {.tensors = std::move(tensors)}; }
  static TestTensor weights(std::vector<float> values) {
    return test_tensor<float>("param", "w", {static_cast<std::int64_t>(values.size())}, values);
  }

  TempDir dir_;
  std::string path_a_, path_b_;
};

TEST_F(CheckpointDiff, EqualHoweverManyRanksSavedIt) {
  TestCheckpoint one = of(small_network()), three = one;
  one.ranks = 1;
  three.ranks = 3;
  const Answer answer = diff(one, three);
  EXPECT_EQ(answer.code, 0) << answer;
  EXPECT_TRUE(answer.says("tensors: 4 equal bit for bit\nequal\n")) << answer;
}

TEST_F(CheckpointDiff, OneElementIsEnough) {
  const Answer answer = diff(of({weights({3, 0, 4, 0}), test_tensor<float>("param", "same", {1}, {1})}),
                             of({weights({3, 0, 4.5, 0}), test_tensor<float>("param", "same", {1}, {1})}));
  EXPECT_EQ(answer.code, 1) << answer;
  // ||b|| = sqrt(29.25)
  EXPECT_TRUE(answer.says("  param/w        0.5         0.0925     1 of 4\n")) << answer;
  EXPECT_TRUE(answer.says("tensors: 1 equal bit for bit, 1 different\ndifferent\n")) << answer;
  EXPECT_FALSE(answer.says("param/same")) << "what is equal is not listed: " << answer;
}

TEST_F(CheckpointDiff, PiecesCutDifferentlyAreComparedElementByElement) {
  std::vector<float> values;  // some pieces are larger than what is read at once
  for (int i = 0; i < 700000; ++i) values.push_back(static_cast<float>(i));
  TestCheckpoint two = of({weights(values)}), seven = two;
  two.ranks = 2;
  seven.ranks = 7;
  EXPECT_EQ(diff(two, seven).code, 0);
  values[600000] += 1;
  seven.tensors = {weights(values)};
  const Answer answer = diff(two, seven);
  EXPECT_TRUE(answer.code == 1 && answer.says("1 of 700000")) << answer;
}

TEST_F(CheckpointDiff, ToleranceIsOfTheRelativeNorm) {
  const TestCheckpoint a = of({weights({100, 0})}), b = of({weights({100, 1})});
  EXPECT_EQ(diff(a, b, {"--tolerance", "0.009"}).code, 1);
  const Answer within = diff(a, b, {"--tolerance", "0.011"});
  EXPECT_EQ(within.code, 0) << within;
  EXPECT_TRUE(within.says("1 of 2  within") && within.says("tensors: 0 equal bit for bit, 1 within")) << within;
  EXPECT_EQ(diff(of({weights({1e-30f})}), of({weights({2e-30f})}), {"--tolerance", "0.4"}).code, 1)
      << "small is not equal";
}

TEST_F(CheckpointDiff, SignsOfZeroAreOtherBitsButNoOtherValue) {
  const TestCheckpoint a = of({weights({0.0f, 1})}), b = of({weights({-0.0f, 1})});
  EXPECT_EQ(diff(a, b).code, 1);
  EXPECT_EQ(diff(a, b, {"--tolerance", "1e-300"}).code, 0);
}

TEST_F(CheckpointDiff, NoToleranceCoversWhatIsNotFinite) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  for (const float odd : {nan, infinite, -infinite}) {
    const Answer answer = diff(of({weights({1, 2})}), of({weights({1, odd})}), {"--tolerance", "1e300"});
    EXPECT_TRUE(answer.code == 1 && answer.says("inf")) << odd << ": " << answer;
    EXPECT_EQ(diff(of({weights({1, odd})}), of({weights({1, odd})})).code, 0) << odd;
  }
}

TEST_F(CheckpointDiff, TensorsOfOneAloneAndOtherFormsAreNamed) {
  const Answer answer =
      diff(of({weights({1, 2}), test_tensor<float>("param", "gone", {1}, {1}),
               test_tensor<float>("param", "turned", {2, 1}, {1, 2}), test_tensor<float>("param", "typed", {1}, {1})}),
           of({weights({1, 2}), test_tensor<float>("param", "turned", {1, 2}, {1, 2}),
               test_tensor<double>("param", "typed", {1}, {1}), test_tensor<float>("state", "new", {1}, {1})}),
           {"--tensors", "--tolerance", "1"});
  EXPECT_EQ(answer.code, 1) << answer;
  for (const char* line : {"param/gone         f32 (1)     (none)\n", "param/turned       f32 (2, 1)  f32 (1, 2)\n",
                           "param/typed        f32 (1)     f64 (1)\n", "state/new          (none)      f32 (1)\n"}) {
    EXPECT_TRUE(answer.says(line)) << line << " in " << answer;
  }
}

TEST_F(CheckpointDiff, StepAndOptionsCountUnlessTensorsAloneAreAsked) {
  TestCheckpoint a = of(small_network()), b = a;
  b.step = 200;
  b.options = {{"batch", "32"}, {"clip", "1"}};
  const Answer answer = diff(a, b);
  EXPECT_EQ(answer.code, 1) << answer;
  for (const char* line : {"step                  100     200\n", "samples               6400    12800\n",
                           "option batch          64      32\n", "option clip           (none)  1\n",
                           "option learning-rate  0.001   (none)\n"}) {
    EXPECT_TRUE(answer.says(line)) << line << " in " << answer;
  }
  EXPECT_FALSE(answer.says("trainer")) << answer;
  const Answer tensors = diff(a, b, {"--tensors"});
  EXPECT_TRUE(tensors.code == 0 && !tensors.says("batch")) << tensors;
}

TEST_F(CheckpointDiff, LargeIntegersAreComparedExactly) {
  constexpr std::int64_t large = std::int64_t{1} << 60;
  const Answer answer = diff(of({test_tensor<std::int64_t>("state", "n", {1}, {large})}),
                             of({test_tensor<std::int64_t>("state", "n", {1}, {large + 1})}));
  EXPECT_TRUE(answer.code == 1 && answer.says("state/n          1")) << answer;
}

TEST_F(CheckpointDiff, DamageIsNoDifference) {
  diff(of({weights({1, 2})}), of({weights({1, 2})}));
  const CheckpointReader reader(path_b_);
  flip_byte(path_b_ + "/" + reader.manifest().tensors[0].pieces[0].file, reader.manifest().tensors[0].pieces[0].offset);
  const Answer answer = checkpoint({"diff", path_a_, path_b_});
  EXPECT_EQ(answer.code, static_cast<int>(ExitCode::corrupt_input)) << answer;
  EXPECT_TRUE(answer.complains("param/w") && answer.out.empty()) << answer;
  EXPECT_EQ(checkpoint({"diff", path_a_}).code, static_cast<int>(ExitCode::usage));
  EXPECT_EQ(checkpoint({"diff", path_a_, path_b_, "--tolerance=-1"}).code, static_cast<int>(ExitCode::usage));
}

}  // namespace
}  // namespace trireme
