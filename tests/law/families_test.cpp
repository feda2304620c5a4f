// Laws 1 and 2 for every family of networks: ranks train together what one rank trains, and a run that stopped and went
// on is the run that did not stop, bit for bit. All families are trained in one job each.
#include <cstdlib>
#include <cstring>

#include "datasets/shapes.hpp"
#include "tests/law/model_families.hpp"
#include "tests/law/outcome.hpp"
#include "tests/law/run_under_test.hpp"
#include "tests/support/mpirun.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

class FamiliesOfNetworks : public testing::Test {
 protected:
  TempDir dir;

  void SetUp() override {
    for (const std::int64_t side : {8, 16, 32})
      generate_shapes({.out = dir / fmt::format("shapes-{}", side), .count = 60, .test_count = 0, .size = side});
  }
  /// Trains all families in `folder`.
  void train(int ranks, const std::string& folder, const std::string& arguments) const {
    const std::string log = dir / (folder + ".log");
    const std::string command =
        fmt::format("{} -n {} {}/tests/family_probe --data {} --runs {} --precision f64 {} >{} 2>&1", mpirun, ranks,
                    TRIREME_BINARY_DIR, dir / "", dir / folder, arguments, log);
    std::filesystem::create_directory(dir / folder);
    const int status = std::system(command.c_str());
    std::ifstream text(log);
    ASSERT_EQ(status, 0) << std::string(std::istreambuf_iterator<char>(text), {});
  }
};

std::vector<double> doubles(const std::vector<std::byte>& bytes) {
  std::vector<double> out(bytes.size() / sizeof(double));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

/// Values whose gradient is zero but for rounding (a bias before batch norm) stay at nothing.
bool vanishes(const std::vector<double>& values) {
  for (const double value : values)
    if (std::abs(value) > 1e-12) return false;
  return true;
}

TEST_F(FamiliesOfNetworks, AnyNumberOfRanksTrainsTheSameAndAStopChangesNothing) {
  train(1, "one", "");
  train(3, "many", "");
  train(3, "stopped", "--stop 2");
  for (const ModelFamily& family : model_families()) {
    const RunUnderTest one(dir / ("one/" + family.name)), many(dir / ("many/" + family.name)),
        stopped(dir / ("stopped/" + family.name));
    const auto alone = one.steps(), together = many.steps();
    ASSERT_EQ(alone.size(), 4U) << family.name;
    ASSERT_EQ(together.size(), 4U) << family.name;
    EXPECT_NE(alone.front().second, alone.back().second) << family.name << " learns nothing";
    for (std::size_t k = 0; k < alone.size(); ++k) {
      const double loss = std::stod(alone[k].second);
      EXPECT_NEAR(std::stod(together[k].second), loss, 1e-8 * loss) << family.name << " step " << k;
    }
    const auto tensors = tensors_of(one.checkpoint(4)), of_many = tensors_of(many.checkpoint(4));
    for (const auto& [name, bytes] : tensors) {
      if (!name.starts_with("param/") && !name.starts_with("state/")) continue;
      const std::vector<double> values = doubles(bytes), others = doubles(of_many.at(name));
      if (!vanishes(values)) {
        EXPECT_LE(distance(values, others), 1e-7) << family.name << " " << name;
      }
    }
    EXPECT_EQ(stopped.steps(), many.steps()) << family.name;
    EXPECT_EQ(stopped.checkpoints(), (std::vector<std::int64_t>{2, 4})) << family.name;
    EXPECT_TRUE(tensors_of(stopped.checkpoint(4)) == of_many) << family.name;
  }
}

}  // namespace
}  // namespace trireme
