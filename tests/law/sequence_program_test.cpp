// The program sequence as a user starts it: ranks lose together what one rank loses, a run that goes on is the run that
// never stopped, bit for bit, and `trireme evaluate` and `predict` say of the trained network what the program said.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "datasets/names.hpp"
#include "launcher/job/commands.hpp"
#include "tests/launcher/checkpoint_command_helpers.hpp"
#include "tests/law/run_under_test.hpp"
#include "tests/support/mpirun.hpp"

namespace trireme {
namespace {

const std::string sequence_program = TRIREME_BINARY_DIR "/examples/sequence";

class SequenceProgram : public testing::Test {
 protected:
  TempDir dir;
  std::string log;

  void SetUp() override {
    if (!std::filesystem::exists(sequence_program)) GTEST_SKIP() << "skipped: built without the examples";
    NamesOptions names;
    names.out = dir / "data";
    names.count = 96;
    names.test_count = 30;
    names.languages = 3;
    generate_names(names);
  }
  int run(int ranks, const std::string& folder, const std::string& arguments) {
    const std::string command = mpirun + "-n " + std::to_string(ranks) + " " + sequence_program + " --data " +
                                (dir / "data") +
                                " --batch 12 --validation 0 --log-every 1 --hidden 6 --embedding 5 --run-dir " +
                                (dir / folder) + " " + arguments + " >" + (dir / "log") + " 2>&1";
    const int status = std::system(command.c_str());
    log = read_file(dir / "log");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::vector<double> losses(const std::string& folder) const {
    std::vector<double> out;
    for (const auto& [step, loss] : RunUnderTest(dir / folder).steps()) out.push_back(std::stod(loss));
    return out;
  }
};

TEST_F(SequenceProgram, TheSameOnOtherRanksAndAfterAStop) {
  const std::string how =
      "--cell gru --layers 2 --bidirectional --dropout 0.2 --precision f64 --schedule constant --checkpoint-every 4 ";
  ASSERT_EQ(run(1, "one", how + "--max-steps 8"), 0) << log;
  ASSERT_EQ(run(3, "whole", how + "--max-steps 8"), 0) << log;
  ASSERT_EQ(run(3, "parts", how + "--max-steps 4"), 0) << log;
  ASSERT_EQ(run(3, "parts", how + "--max-steps 8"), 0) << log;
  const std::vector<double> one = losses("one"), whole = losses("whole");
  ASSERT_EQ(one.size(), 8U);
  ASSERT_EQ(whole.size(), 8U);
  for (std::size_t k = 0; k < 8; ++k) EXPECT_NEAR(whole[k], one[k], 1e-8 * one[k]) << "step " << k + 1;
  EXPECT_NE(one.front(), one.back());
  const RunUnderTest a(dir / "whole"), b(dir / "parts");
  EXPECT_EQ(b.steps(), a.steps());
  EXPECT_EQ(tensors_of(b.checkpoint(8)), tensors_of(a.checkpoint(8)));
}

TEST_F(SequenceProgram, IsJudgedAsItJudgedItself) {
  ASSERT_EQ(run(2, "run", "--epochs 4 --learning-rate 0.03"), 0) << log;
  const Answer judged = answer_of({"evaluate", dir / "run", "--json", "--batch", "7"});
  ASSERT_EQ(judged.code, 0) << judged.err;
  const Json said = Json::parse(judged.out);
  EXPECT_EQ(said.at("samples"), 30);
  EXPECT_EQ(said.at("model"), "lstm");
  EXPECT_NE(log.find(fmt::format("accuracy {:.3f}", said.at("accuracy").get<double>())), std::string::npos)
      << log << judged.out;
  const Answer predicted = answer_of({"predict", dir / "run"});
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  std::istringstream lines(predicted.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "sample,truth,class_1,probability_1");
  int right = 0, count = 0;
  for (; std::getline(lines, line); ++count) {
    std::istringstream parts(line);
    std::vector<std::string> fields;
    for (std::string one; std::getline(parts, one, ',');) fields.push_back(one);
    ASSERT_EQ(fields.size(), 4U) << line;
    right += fields[1] == fields[2] ? 1 : 0;
  }
  EXPECT_EQ(count, 30);
  EXPECT_NEAR(right / 30.0, said.at("accuracy").get<double>(), 1e-9);

  NamesOptions more{.count = 10, .test_count = 10, .languages = 5};
  more.out = dir / "more";
  generate_names(more);
  const Answer refused = answer_of({"evaluate", dir / "run", "--data", dir / "more"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("texts of up to 12 bytes in 5 classes"), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace trireme
