// What a training program says to input it cannot use, on real ranks: a clear text, the documented exit code, within
// seconds, and never a hang.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "datasets/shapes.hpp"
#include "tests/support/mpirun.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

struct Refusal {
  int code = -1;
  std::string text = {};
  double seconds = 0;
};

class Refusals : public testing::Test {
 protected:
  TempDir dir;
  std::string data = dir / "shapes";
  std::string probe = TRIREME_BINARY_DIR "/tests/training_probe --out " + (dir / "out.json") + " --data " + data + " ";

  void SetUp() override {
    generate_shapes({.out = data, .name = "shapes", .count = 120, .test_count = 20, .size = 12});
  }

  Refusal run(const std::string& command) {
    const std::string log = dir / "log";
    const auto start = std::chrono::steady_clock::now();
    const int status = std::system(("timeout -s KILL 60 " + command + " >" + log + " 2>&1").c_str());
    Refusal answer{.code = WEXITSTATUS(status)};
    answer.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::ifstream file(log);
    answer.text.assign(std::istreambuf_iterator<char>(file), {});
    return answer;
  }
  static void expect(const Refusal& answer, int code, const std::vector<std::string>& words) {
    EXPECT_EQ(answer.code, code) << answer.text;
    EXPECT_LT(answer.seconds, 30) << answer.text;
    for (const std::string& word : words)
      EXPECT_NE(answer.text.find(word), std::string::npos) << "no '" << word << "' in:\n" << answer.text;
  }
};

TEST_F(Refusals, NothingIsWrongWithThePlainRun) { EXPECT_EQ(run(mpirun + "-n 2 " + probe + "--max-steps 2").code, 0); }

TEST_F(Refusals, ABatchSmallerThanTheRanks) {
  expect(run(mpirun + "-n 3 " + probe + "--batch 2"), 2, {"--batch 2", "3 rank", "at least 3"});
}

TEST_F(Refusals, ABatchThatMicroBatchesDoNotDivide) {
  expect(run(mpirun + "-n 2 " + probe + "--batch 13 --accumulate 2"), 2, {"--batch 13", "multiple of 2"});
}

TEST_F(Refusals, RanksStartedWithDifferentOptions) {
  expect(run(mpirun + "-n 1 " + probe + "--batch 12 : -n 1 " + probe + "--batch 24"), 3, {"batch", "12", "24", "rank"});
}

TEST_F(Refusals, RanksWithDifferentEnvironments) {
  expect(run(mpirun + "-n 1 -x TRIREME_LEARNING_RATE=0.1 " + probe + " : -n 1 -x TRIREME_LEARNING_RATE=0.2 " + probe),
         3, {"learning-rate", "0.1", "0.2", "rank"});
}

/// Two builds of the same version, as a host that was forgotten at the last update has.
TEST_F(Refusals, RanksWithDifferentPrograms) {
  const std::string first = TRIREME_BINARY_DIR "/tests/training_probe", second = dir / "training_probe";
  std::filesystem::copy_file(first, second);
  std::ofstream(second, std::ios::app) << "x";
  const std::string options = " --out " + (dir / "out.json") + " --data " + data;
  expect(run(mpirun + "-n 1 " + first + options + " : -n 1 " + second + options), 3,
         {"the program's file, by its checksum, is '", " on rank 0 and '", " on rank 1"});
}

/// Hosts may hold different data under the same name.
TEST_F(Refusals, RanksWithDifferentData) {
  std::filesystem::create_directories(dir / "other");
  generate_shapes(
      {.out = dir / "other/shapes", .name = "shapes", .count = 120, .test_count = 20, .seed = 2, .size = 12});
  const std::string program =
      " " TRIREME_BINARY_DIR "/tests/training_probe --out " + (dir / "out.json") + " --data shapes --max-steps 2 ";
  expect(run(mpirun + "-n 1 -wdir " + dir.path().string() + program + ": -n 1 -wdir " + (dir / "other") + program), 3,
         {"data of split train", "samples' on rank 0 and '", "samples' on rank 1"});
}

TEST_F(Refusals, AnUnknownOptionNamesTheNearest) {
  expect(run(mpirun + "-n 2 " + probe + "--learning-rat 0.1"), 2, {"learning-rat", "learning-rate"});
}

TEST_F(Refusals, ADataSetThatIsNotThere) {
  expect(run(mpirun + "-n 2 " + probe + "--data " + (dir / "nowhere")), 15, {"nowhere"});
}

TEST_F(Refusals, AShardThatIsCutOff) {
  for (const auto& file : std::filesystem::directory_iterator(data))
    if (file.path().extension() == ".h5") std::filesystem::resize_file(file.path(), 1000);
  expect(run(mpirun + "-n 2 " + probe), 15, {".h5"});
}

TEST_F(Refusals, ALearningRateThatDivergesEndsWithTheGuard) {
  expect(run(probe + "--model mlp --optimizer sgd --learning-rate 1000 --weight-decay 100 --max-steps 60"), 13,
         {"not finite", "--learning-rate"});
}

TEST_F(Refusals, AGpuThatIsNotThere) { expect(run(probe + "--device cuda:99"), 2, {"--device cuda:99", "cpu"}); }

}  // namespace
}  // namespace trireme
