// The program language_model as a user starts it: what it refuses before it trains, and that it judges the model that
// was trained.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <regex>

#include "tests/law/language_data.hpp"
#include "tests/support/mpirun.hpp"

namespace trireme {
namespace {

const std::string language_program = TRIREME_BINARY_DIR "/examples/language_model";

class LanguageProgram : public testing::Test {
 protected:
  TempDir dir;
  std::string log;

  void SetUp() override {
    if (!std::filesystem::exists(language_program)) GTEST_SKIP() << "skipped: built without the examples";
  }
  /// The exit code on two ranks; what it printed is in `log`.
  int run(const std::string& arguments, const std::string& data = language_data()) {
    const std::string command = mpirun + "-n 2 " + language_program + " --data " + data +
                                " --context 12 --layers 1 --heads 2 --width 16 --batch 8 " + arguments + " >" +
                                (dir / "log") + " 2>&1";
    const int status = std::system(command.c_str());
    log = read_file(dir / "log");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string number_after(const std::string& words) const {
    std::smatch found;
    return std::regex_search(log, found, std::regex(words + " ([0-9.]+)")) ? found[1].str() : "";
  }
};

TEST_F(LanguageProgram, TrainsJudgesAndIsJudgedAlike) {
  write_file_atomically(dir / "questions.jsonl",
                        "{\"context\": \"the cat\", \"choices\": [\"sees a\", \"likes\"], \"answer\": 1}\n");
  ASSERT_EQ(run("--max-steps 6 --prompt 'the' --baseline --run-dir " + (dir / "run")), 0) << log;
  const std::string trained = number_after("\nvalidation loss");
  EXPECT_FALSE(trained.empty()) << log;
  EXPECT_FALSE(number_after("bigram baseline: validation loss").empty()) << log;
  EXPECT_NE(log.find("sample: the"), std::string::npos) << log;
  const std::string judging = mpirun + "-n 2 " + language_program + " --data " + language_data() +
                              " --context 12 --evaluate --init-from " + (dir / "run") + " --questions " +
                              (dir / "questions.jsonl") + " >" + (dir / "log") + " 2>&1";
  ASSERT_EQ(std::system(judging.c_str()), 0) << read_file(dir / "log");
  log = read_file(dir / "log");
  EXPECT_EQ(number_after("validation loss"), trained) << log;
  EXPECT_NE(log.find("1 questions:"), std::string::npos) << log;
}

TEST_F(LanguageProgram, AnotherNetworkThanTheStoredOneIsNotJudged) {
  ASSERT_EQ(run("--max-steps 2 --run-dir " + (dir / "run")), 0) << log;
  EXPECT_EQ(run("--evaluate --positions 24 --init-from " + (dir / "run")), 2) << log;
  EXPECT_NE(log.find("wpe"), std::string::npos) << log;
}

TEST_F(LanguageProgram, WithoutValidationSamplesItEndsWell) {
  const std::string all = dir / "all";
  write_file_atomically(dir / "text.txt", language_lines());
  train_tokenizer({.input = {.paths = {dir / "text.txt"}}, .vocabulary = 280}).save(dir / "tokenizer.json");
  tokenize({.input = {.paths = {dir / "text.txt"}}, .tokenizer = dir / "tokenizer.json", .out = all});
  EXPECT_EQ(run("--max-steps 2 --validation 0 --run-dir " + (dir / "run"), all), 0) << log;
  EXPECT_EQ(run("--max-steps 2 --validation 0 --baseline --run-dir " + (dir / "other"), all), 2) << log;
  EXPECT_NE(log.find("--validation 0.05"), std::string::npos) << log;
}

TEST_F(LanguageProgram, WhatIsNeededAtTheEndIsReadAtTheStart) {
  write_file_atomically(dir / "questions.jsonl", "{\"context\": \"a\"}\n");
  EXPECT_EQ(run("--max-steps 2 --questions " + (dir / "questions.jsonl") + " --run-dir " + (dir / "run")), 15) << log;
  EXPECT_NE(log.find("questions.jsonl:1"), std::string::npos) << log;
  EXPECT_FALSE(std::filesystem::exists(dir / "run")) << "it trained first";
  EXPECT_EQ(run("--context 13 --positions 12"), 2) << log;
}

TEST_F(LanguageProgram, AMixIsJudgedByTheSetsThatHaveAValidationSplit) {
  const std::string all = dir / "all";
  write_file_atomically(dir / "text.txt", language_lines());
  tokenize({.input = {.paths = {dir / "text.txt"}}, .tokenizer = language_data() + "/tokenizer.json", .out = all});
  EXPECT_EQ(run("--max-steps 2 --run-dir " + (dir / "run"), all + "=3," + language_data() + "=1"), 0) << log;
  EXPECT_FALSE(number_after("\nvalidation loss").empty()) << log;
}

}  // namespace
}  // namespace trireme
