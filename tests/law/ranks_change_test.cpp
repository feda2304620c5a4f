// A run saved on one number of ranks and resumed on another: the same state bit for bit, training within law 1, and
// every sample of an epoch seen exactly once across the change.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "tests/law/run_under_test.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

class RanksChange : public testing::Test {
 protected:
  TempDir dir;
  /// Stream position -> hash of the sample seen there, over all ranks of all jobs that wrote to the ledger.
  static std::map<std::int64_t, std::set<std::string>> ledger(const std::string& folder) {
    std::map<std::int64_t, std::set<std::string>> out;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::ifstream file(entry.path());
      std::int64_t position = 0;
      for (std::string hash; file >> position >> hash;) out[position].insert(hash);
    }
    return out;
  }
};

constexpr int steps_before = 10, steps_after = 24, epoch = 270;  // samples, 12 a step

TEST_F(RanksChange, KeepsStateAndSamplesAndLaw1) {
  const std::string model = "--precision f64 --optimizer adamw --epochs 10 --checkpoint-every off";
  const std::string saving = "--precision f64 --optimizer adamw --epochs 10 --checkpoint-every 5";
  const auto until = [](int step) { return fmt::format(" --max-steps {}", step); };
  const RunUnderTest one(dir / "one");
  ASSERT_EQ(one.run(1, model + until(steps_after)), 0) << one.log_text();
  const auto wanted = one.steps();
  for (const int from : {1, 2, 3, 4}) {
    const RunUnderTest first(fmt::format("{}/from-{}", dir.path().string(), from));
    const std::string seen = first.folder() + ".ledger";
    std::filesystem::create_directory(seen);
    ASSERT_EQ(first.run(from, saving + until(steps_before) + " --ledger " + seen), 0) << first.log_text();
    const auto saved = tensors_of(first.checkpoint(steps_before));
    for (const int to : {1, 2, 3, 4}) {
      SCOPED_TRACE(fmt::format("saved on {} ranks, loaded on {}", from, to));
      // Loaded and saved again without a step between.
      const RunUnderTest same(fmt::format("{}/{}-{}-same", dir.path().string(), from, to));
      ASSERT_EQ(same.run(to, saving + until(steps_before) + " --resume " + first.folder()), 0) << same.log_text();
      ASSERT_EQ(tensors_of(same.checkpoint(steps_before)), saved);
      const RunUnderTest on(fmt::format("{}/{}-{}", dir.path().string(), from, to));
      const std::string both = on.folder() + ".ledger";
      std::filesystem::copy(seen, both);
      ASSERT_EQ(on.run(to, saving + until(steps_after) + " --ledger " + both + " --resume " + first.folder()), 0);
      const auto steps = on.steps();
      ASSERT_EQ(steps.size(), static_cast<std::size_t>(steps_after - steps_before));
      for (std::size_t k = 0; k < steps.size(); ++k) {
        const double loss = std::stod(steps[k].second), there = std::stod(wanted[k + steps_before].second);
        EXPECT_NEAR(loss, there, 1e-10 * there) << "step " << steps[k].first;
      }
      const auto positions = ledger(both);
      ASSERT_EQ(positions.size(), static_cast<std::size_t>(12 * steps_after));
      std::set<std::string> seen_once;
      for (const auto& [position, hashes] : positions) {
        ASSERT_EQ(hashes.size(), 1u) << "position " << position;
        if (position < epoch) {
          EXPECT_TRUE(seen_once.insert(*hashes.begin()).second) << "twice: position " << position;
        }
      }
      EXPECT_EQ(seen_once.size(), static_cast<std::size_t>(epoch));
    }
  }
}

/// What `trireme data order` says of a run: the samples of each position of the stream.
std::vector<std::int64_t> told_order(const RunUnderTest& run, int ranks, int steps) {
  const std::string told = run.folder() + ".order";
  const std::string command = fmt::format("{}/launcher/trireme data order --run {} --ranks {} --steps 1..{} >{}",
                                          TRIREME_BINARY_DIR, run.folder(), ranks, steps, told);
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  std::vector<std::int64_t> out;
  std::ifstream lines(told);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line.substr(line.find(':') + 1));
    for (std::int64_t sample = 0; numbers >> sample;) out.push_back(sample);
  }
  return out;
}

TEST_F(RanksChange, DataOrderTellsOfARunWhatItsRanksRead) {
  const RunUnderTest run(dir / "run");
  const std::string seen = run.folder() + ".ledger";
  std::filesystem::create_directory(seen);
  constexpr int steps = 50;  // more than two epochs
  const std::string arguments = fmt::format("--seed 7 --epochs 10 --max-steps {} --ledger {}", steps, seen);
  ASSERT_EQ(run.run(3, arguments), 0) << run.log_text();
  const std::vector<std::int64_t> order = told_order(run, 3, steps);
  const auto positions = ledger(seen);
  ASSERT_EQ(positions.size(), order.size());
  // One image behind each number and one number for each image, whenever they come.
  std::map<std::int64_t, std::string> image_of;
  std::map<std::string, std::int64_t> number_of;
  for (const auto& [position, hashes] : positions) {
    const std::int64_t number = order[static_cast<std::size_t>(position)];
    EXPECT_EQ(image_of.emplace(number, *hashes.begin()).first->second, *hashes.begin()) << "position " << position;
    EXPECT_EQ(number_of.emplace(*hashes.begin(), number).first->second, number) << "position " << position;
  }
  EXPECT_EQ(image_of.size(), static_cast<std::size_t>(epoch));
}

}  // namespace
}  // namespace trireme
