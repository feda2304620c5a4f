// The program image_classification as a user starts it, with networks of every family: two ranks lose what one rank
// loses, a run that goes on loses what one that never stopped does, and `trireme evaluate` and `predict` say of the
// trained network what the program said.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "core/io/png.hpp"
#include "datasets/shapes.hpp"
#include "launcher/job/commands.hpp"
#include "tests/launcher/checkpoint_command_helpers.hpp"
#include "tests/support/mpirun.hpp"

namespace trireme {
namespace {

const std::string program = TRIREME_BINARY_DIR "/examples/image_classification";

class ImageProgram : public testing::TestWithParam<std::string> {
 protected:
  TempDir dir;
  std::string log;

  void SetUp() override {
    if (!std::filesystem::exists(program)) GTEST_SKIP() << "skipped: built without the examples";
    ShapesOptions shapes;
    shapes.out = dir / "data";
    shapes.count = 64;
    shapes.test_count = GetParam() == "lenet" ? 40 : 8;
    shapes.size = GetParam() == "lenet" ? 32 : 8;
    generate_shapes(shapes);
  }
  int run(int ranks, const std::string& folder, const std::string& arguments) {
    const std::string command = mpirun + "-n " + std::to_string(ranks) + " " + program + " --data " + (dir / "data") +
                                " --batch 8 --validation 0 --log-every 1 --dropout 0 --run-dir " + (dir / folder) +
                                " " + arguments + " >" + (dir / "log") + " 2>&1";
    const int status = std::system(command.c_str());
    log = read_file(dir / "log");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::vector<double> losses(const std::string& folder) const {
    std::vector<double> out;
    std::istringstream lines(read_file((dir / folder) + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const Json record = Json::parse(line);
      if (record.at("kind") == "step") out.push_back(record.at("loss").get<double>());
    }
    return out;
  }
};

TEST_P(ImageProgram, TheSameOnOtherRanksAndAfterAStop) {
  const std::string model =
      "--schedule constant --optimizer sgd --learning-rate 0.01 --precision f64 --augment shift=1,flip,mixup=0.5 "
      "--model " +
      GetParam();
  ASSERT_EQ(run(1, "one", model + " --max-steps 3"), 0) << log;
  ASSERT_EQ(run(2, "two", model + " --max-steps 2"), 0) << log;
  ASSERT_EQ(run(2, "two", model + " --max-steps 3"), 0) << log;
  const std::vector<double> one = losses("one"), two = losses("two");
  ASSERT_EQ(one.size(), 3U);
  ASSERT_EQ(two.size(), 3U);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(two[k], one[k], 1e-8 * one[k]) << "step " << k + 1;
}

INSTANTIATE_TEST_SUITE_P(Families, ImageProgram, testing::Values("mobilenet"), [](const auto& one) {
  std::string name = one.param;
  std::erase(name, '-');
  return name;
});

using ImageUse = ImageProgram;

TEST_P(ImageUse, IsJudgedAsTheProgramJudgedIt) {
  ASSERT_EQ(run(2, "run", "--max-steps 12 --model " + GetParam()), 0) << log;
  const Answer judged =
      answer_of({"evaluate", dir / "run", "--json", "--picture", dir / "confusion.png", "--batch", "7"});
  ASSERT_EQ(judged.code, 0) << judged.err;
  const Json said = Json::parse(judged.out);
  EXPECT_EQ(said.at("samples"), 40);
  // The program's own report of its test images ends with the accuracy.
  EXPECT_NE(log.find(fmt::format("accuracy {:.3f}", said.at("accuracy").get<double>())), std::string::npos)
      << log << judged.out;
  EXPECT_LE(said.at("accuracy").get<double>(), said.at("top5").get<double>());
  const double area = said.at("roc_auc").get<double>();
  EXPECT_TRUE(area > 0 && area <= 1) << area;
  if (png_available()) {
    EXPECT_EQ(read_file(dir / "confusion.png").substr(1, 3), "PNG");
  }
  const Answer text = answer_of({"evaluate", dir / "run"});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(log.find(text.out.substr(0, text.out.find('\n', text.out.find("predicted") + 40))), std::string::npos)
      << text.out;

  const Answer predicted = answer_of({"predict", dir / "run", "--top", "2"});
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  std::istringstream lines(predicted.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "sample,truth,class_1,probability_1,class_2,probability_2");
  int right = 0, count = 0;
  for (; std::getline(lines, line); ++count) {
    std::vector<std::string> fields;
    std::istringstream parts(line);
    for (std::string one; std::getline(parts, one, ',');) fields.push_back(one);
    ASSERT_EQ(fields.size(), 6U) << line;
    EXPECT_EQ(fields[0], std::to_string(count));
    EXPECT_GE(std::stod(fields[3]), std::stod(fields[5]));
    right += fields[1] == fields[2] ? 1 : 0;
  }
  EXPECT_EQ(count, 40);
  EXPECT_NEAR(right / 40.0, said.at("accuracy").get<double>(), 1e-9);
}

TEST_P(ImageUse, WhatCannotBeJudgedIsRefused) {
  ASSERT_EQ(run(1, "run", "--max-steps 1 --model " + GetParam()), 0) << log;
  ShapesOptions larger;
  larger.out = dir / "larger";
  larger.count = larger.test_count = 10;
  larger.size = 40;
  generate_shapes(larger);
  const auto refused = [&](const std::vector<std::string>& words, const std::string& why) {
    const Answer answer = answer_of(words);
    EXPECT_EQ(answer.code, 2) << answer.out;
    EXPECT_NE(answer.err.find(why), std::string::npos) << answer.err;
  };
  refused({"evaluate", dir / "run", "--data", dir / "larger"}, "another size");
  refused({"evaluate", dir / "run", "--split", "verify"}, "has no split 'verify'; it has train, test");
  refused({"evaluate", dir / "data"}, "no run folder");
  refused({"predict", dir / "nothing"}, "no run folder");
}

INSTANTIATE_TEST_SUITE_P(OneNetwork, ImageUse, testing::Values("lenet"));

}  // namespace
}  // namespace trireme
