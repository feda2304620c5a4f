// The program table as a user starts it, on tables of numbers and of classes: two ranks lose what one rank loses, a run
// that goes on loses what one that never stopped does, and `trireme evaluate` and `predict` say of the trained network
// what the program said.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "datasets/import_csv.hpp"
#include "launcher/job/commands.hpp"
#include "launcher/run/checkpoint_load.hpp"
#include "tests/launcher/checkpoint_command_helpers.hpp"
#include "tests/launcher/exchange_helpers.hpp"
#include "tests/law/run_under_test.hpp"
#include "tests/support/mpirun.hpp"

namespace trireme {
namespace {

const std::string table_program = TRIREME_BINARY_DIR "/examples/table";

class TableProgram : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(table_program)) GTEST_SKIP() << "skipped: built without the examples";
    std::ofstream file(dir / "t.csv");
    std::mt19937_64 random(5);
    std::normal_distribution<double> normal;
    file << "a,b,price,kind\n";
    for (int k = 0; k < 300; ++k) {
      const double a = normal(random), b = 100 + 10 * normal(random);
      file << fmt::format("{:.6f},{:.6f},{:.6f},{}\n", a, b, 5000 + 300 * a - 20 * b + 5 * normal(random),
                          a > 0.5    ? "high"
                          : a < -0.5 ? "low"
                                     : "mid");
    }
    file.close();
    CsvImport import{.source = dir / "t.csv",
                     .set_aside = {.fraction = 0.2},
                     .out = dir / "numbers",
                     .dropped = {"kind"},
                     .targets = {"price"},
                     .task = CsvImport::Task::regression,
                     .scale = CsvImport::Scale::standardise};
    import_csv(import);
    import.out = dir / "packed";
    import.compress = 6;
    import_csv(import);
    import.compress = 0;
    import.out = dir / "classes";
    import.dropped = {"price"};
    import.targets = {"kind"};
    import.task = CsvImport::Task::classes;
    import_csv(import);
  }
  int run(int ranks, const std::string& folder, const std::string& arguments) {
    const std::string command = mpirun + "-n " + std::to_string(ranks) + " " + table_program +
                                " --batch 16 --validation 0 --log-every 1 --hidden 16 --run-dir " + (dir / folder) +
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
  Json judged(const std::string& folder, const std::string& weights = "averaged") const {
    const Answer answer = answer_of({"evaluate", dir / folder, "--json", "--batch", "7", "--weights", weights});
    EXPECT_EQ(answer.code, 0) << answer.err;
    return answer.code == 0 ? Json::parse(answer.out) : Json();
  }
  TempDir dir;
  std::string log;
};

TEST_F(TableProgram, TheSameOnOtherRanksAndAfterAStop) {
  const std::string how = "--loss smooth --dropout 0.2 --precision f64 --data " + (dir / "numbers");
  ASSERT_EQ(run(1, "one", how + " --max-steps 4"), 0) << log;
  ASSERT_EQ(run(2, "two", how + " --max-steps 2"), 0) << log;
  ASSERT_EQ(run(2, "two", how + " --max-steps 4"), 0) << log;
  const std::vector<double> one = losses("one"), two = losses("two");
  ASSERT_EQ(one.size(), 4U);
  ASSERT_EQ(two.size(), 4U);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(two[k], one[k], 1e-8 * one[k]) << "step " << k + 1;
  // Deflated fields are the same samples.
  const std::string packed = "--loss smooth --dropout 0.2 --precision f64 --data " + (dir / "packed");
  ASSERT_EQ(run(1, "packed-run", packed + " --max-steps 4"), 0) << log;
  EXPECT_EQ(losses("packed-run"), one);
}

TEST_F(TableProgram, ARegressionIsJudgedAsTheProgramJudgedIt) {
  ASSERT_EQ(run(2, "run", "--epochs 20 --learning-rate 0.01 --data " + (dir / "numbers")), 0) << log;
  const Json said = judged("run");
  const double absolute = said.at("absolute_error"), squared = said.at("squared_error");
  EXPECT_GT(said.at("r2").get<double>(), 0.98) << log;
  EXPECT_NE(log.find(fmt::format("test mean absolute error {:.4g}, mean squared error {:.4g}, ", absolute, squared)),
            std::string::npos)
      << log << said;
  const Answer text = answer_of({"evaluate", dir / "run"});
  EXPECT_NE(log.find(text.out.substr(0, 60)), std::string::npos) << text.out;

  const Answer predicted = answer_of({"predict", dir / "run"});
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  std::istringstream lines(predicted.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "sample,price,predicted price");
  double sum = 0;
  int count = 0;
  for (; std::getline(lines, line); ++count) {
    int sample = -1;
    double truth = 0, guess = 0;
    ASSERT_EQ(std::sscanf(line.c_str(), "%d,%lf,%lf", &sample, &truth, &guess), 3) << line;
    EXPECT_EQ(sample, count);
    EXPECT_TRUE(truth > 1000 && truth < 5000) << line;
    sum += std::abs(guess - truth);
  }
  EXPECT_EQ(count, said.at("samples"));
  EXPECT_NEAR(sum / count, absolute, 1e-4 * absolute);

  // A table in other units is not judged with this network.
  import_csv({.source = dir / "t.csv",
              .out = dir / "raw",
              .dropped = {"kind"},
              .targets = {"price"},
              .task = CsvImport::Task::regression});
  const Answer refused = answer_of({"evaluate", dir / "run", "--data", dir / "raw", "--split", "train"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("--like"), std::string::npos) << refused.err;
  import_csv({.source = dir / "t.csv", .out = dir / "like", .like = dir / "numbers"});
  const Answer taken = answer_of({"evaluate", dir / "run", "--data", dir / "like", "--split", "train"});
  EXPECT_EQ(taken.code, 0) << taken.err;
  EXPECT_EQ(answer_of({"evaluate", dir / "run", "--picture", dir / "p.png"}).code, 2);
}

TEST_F(TableProgram, TheAverageOfTheWeightsIsWhatIsJudgedAndExported) {
  ASSERT_EQ(
      run(1, "run", "--epochs 5 --learning-rate 0.01 --ema 0.95 --checkpoint-every 20 --data " + (dir / "numbers")), 0)
      << log;
  const auto error_said = [&](const Json& said) {
    return fmt::format("test mean absolute error {:.4g},", said.at("absolute_error").get<double>());
  };
  EXPECT_NE(log.find(error_said(judged("run"))), std::string::npos) << log;
  EXPECT_EQ(log.find(error_said(judged("run", "trained"))), std::string::npos) << "they hardly differ";
  EXPECT_EQ(judged("run").at("weights"), "averaged");
  EXPECT_EQ(judged("run", "trained").at("weights"), "trained");
  const auto saved = tensors_of(checkpoints_at(dir / "run").front());
  for (const auto& [weights, plane] : {std::pair{"averaged", "average/"}, std::pair{"trained", "param/"}}) {
    const std::string to = dir / weights;
    const Answer answer = answer_of({"checkpoint", "export", dir / "run", "--to", to, "--weights", weights});
    ASSERT_EQ(answer.code, 0) << answer.err;
    const TensorValues exported = values_of(SafeTensors(to));
    EXPECT_FALSE(exported.empty());
    for (const auto& [name, value] : exported) {
      const std::vector<std::byte>& wanted = saved.at(plane + name);
      EXPECT_EQ(elements_of(exported, name), std::string(reinterpret_cast<const char*>(wanted.data()), wanted.size()))
          << plane << name;
    }
  }
  // What is said to have been judged is what was: the newest one that is whole.
  const std::vector<std::string> kept = checkpoints_at(dir / "run");
  ASSERT_GE(kept.size(), 2U);
  EXPECT_EQ(judged("run").at("checkpoint"), kept[0]);
  std::filesystem::resize_file(kept[0] + "/rank_00000.h5", 100);
  EXPECT_EQ(judged("run").at("checkpoint"), kept[1]);
}

TEST_F(TableProgram, WhatIsOpenIsPredictedAsWhatIsNot) {
  std::ifstream table(dir / "t.csv");
  std::ofstream open(dir / "open.csv");
  for (std::string line; std::getline(table, line);) open << line.substr(0, line.find(',', line.find(',') + 1)) << '\n';
  open.close();
  for (const std::string kind : {"numbers", "classes"}) {
    ASSERT_EQ(run(1, kind + "-run", "--max-steps 5 --data " + (dir / kind)), 0) << log;
    import_csv({.source = dir / "open.csv", .out = dir / (kind + "-open"), .like = dir / kind});
    import_csv({.source = dir / "t.csv", .out = dir / (kind + "-like"), .like = dir / kind});
    const auto asked = [&](const std::string& command, const std::string& data) {
      return answer_of({command, dir / (kind + "-run"), "--data", dir / data, "--split", "train"});
    };
    const Answer guessed = asked("predict", kind + "-open"), wanted = asked("predict", kind + "-like");
    ASSERT_EQ(guessed.code, 0) << guessed.err;
    // The same but for the second column, which says what the sample is.
    std::istringstream ours(guessed.out), theirs(wanted.out);
    int rows = 0;
    for (std::string mine, full; std::getline(theirs, full); ++rows) {
      ASSERT_TRUE(std::getline(ours, mine));
      const std::size_t first = full.find(','), second = full.find(',', first + 1);
      if (rows > 0) full.erase(first + 1, second - first - 1);
      EXPECT_EQ(mine, full);
    }
    EXPECT_EQ(rows, 301);
    EXPECT_EQ(asked("evaluate", kind + "-open").code, 2);
    // Columns are taken over from rows without answers, too.
    import_csv({.source = dir / "t.csv", .out = dir / (kind + "-again"), .like = dir / (kind + "-open")});
    EXPECT_EQ(asked("predict", kind + "-again").out, wanted.out);
    EXPECT_THROW(import_csv({.source = dir / "open.csv",
                             .test_source = dir / "t.csv",
                             .out = dir / (kind + "-half"),
                             .like = dir / kind}),
                 Error);
    EXPECT_EQ(run(1, "never", "--data " + (dir / (kind + "-open"))), 2);
    EXPECT_NE(log.find("for trireme predict alone"), std::string::npos) << log;
  }
}

TEST_F(TableProgram, AClassifierIsJudgedAsTheProgramJudgedIt) {
  ASSERT_EQ(run(1, "run", "--epochs 10 --learning-rate 0.01 --data " + (dir / "classes")), 0) << log;
  const Json said = judged("run");
  EXPECT_GT(said.at("accuracy").get<double>(), 0.8) << log;
  EXPECT_NE(log.find(fmt::format("accuracy {:.3f}", said.at("accuracy").get<double>())), std::string::npos) << log;
  EXPECT_EQ(said.at("classes").at(0).at("name"), "high");
  const Answer predicted = answer_of({"predict", dir / "run"});
  EXPECT_EQ(predicted.code, 0) << predicted.err;
  EXPECT_NE(predicted.out.find("0,"), std::string::npos);
}

}  // namespace
}  // namespace trireme
