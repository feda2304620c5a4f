// Law 1 across a network: one rank on each of two hosts, which this machine plays by network namespaces, trains what
// one rank trains; and does it twice bit for bit.
#include <filesystem>

#include "datasets/shapes.hpp"
#include "tests/law/outcome.hpp"

namespace trireme {
namespace {

const std::string folder = TRIREME_BINARY_DIR "/hosts_test";
const std::string script = TRIREME_SOURCE_DIR "/cluster/virtual/two_hosts.sh";

class TwoHosts : public testing::Test {
 protected:
  void SetUp() override {
    // Hosts have a /tmp of their own, so what they share must lie elsewhere.
    if (folder.starts_with("/tmp")) GTEST_SKIP() << "skipped: the build folder lies in /tmp, which hosts do not share";
    if (WEXITSTATUS(std::system(("timeout 60 " + script + " -- /bin/true").c_str())) == 77)
      GTEST_SKIP() << "skipped: this machine cannot play hosts (root, iproute2 and openssh-server are needed)";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    generate_shapes({.out = folder + "/shapes", .name = "shapes", .count = 200, .test_count = 20, .size = 12});
  }
  static std::string probe(const std::string& out) {
    return TRIREME_BINARY_DIR "/tests/training_probe --data " + folder + "/shapes --out " + out +
           " --model norm --precision f64 --optimizer sgd --learning-rate 0.05 --bucket-mib 0.2";
  }
};

TEST_F(TwoHosts, TrainWhatOneRankTrains) {
  const Outcome one = outcome_of(probe(folder + "/one"), folder + "/one");
  const Outcome two = outcome_of("timeout 120 " + script + " -- " + probe(folder + "/two"), folder + "/two");
  ASSERT_EQ(one.losses.size(), 20u);
  ASSERT_EQ(two.losses.size(), 20u);
  for (std::size_t k = 0; k < 20; ++k) EXPECT_NEAR(two.losses[k], one.losses[k], 1e-10 * one.losses[k]) << "step " << k;
  for (const auto& [name, values] : one.weights) EXPECT_LE(distance(values, two.weights.at(name)), 1e-10) << name;
  const Outcome again = outcome_of("timeout 120 " + script + " -- " + probe(folder + "/again"), folder + "/again");
  EXPECT_EQ(two.losses, again.losses);
  EXPECT_EQ(two.weights, again.weights);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace trireme
