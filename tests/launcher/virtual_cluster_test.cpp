// The virtual cluster itself: hosts are apart as hosts are, cables can be pulled, and nothing stays behind, not even of
// a call that was killed.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

#include "launcher/job/captured.hpp"
#include "launcher/job/child.hpp"
#include "tests/support/job_terminal.hpp"
#include "tests/support/virtual_cluster.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

const std::string script = TRIREME_SOURCE_DIR "/cluster/virtual/cluster.sh";
const std::string virtual_folder = TRIREME_BINARY_DIR "/virtual_cluster_test-" + std::to_string(::getpid());

class Hosts : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(virtual_folder);
    cluster_ = std::make_unique<VirtualCluster>("2", virtual_folder);
    if (!cluster_->skipped().empty()) GTEST_SKIP() << "skipped: " << cluster_->skipped();
  }
  void TearDown() override {
    cluster_.reset();
    fs::remove_all(virtual_folder);
  }
  Captured on(const std::string& host, const std::string& command) const {
    Words words = cluster_->on(host);
    words.insert(words.end(), {"bash", "-c", command});
    return captured(words, 60);
  }
  bool reaches(const std::string& from, const std::string& to) const {
    return on(from, "timeout 3 ssh -o ConnectTimeout=2 " + to + " true").code == 0;
  }
  std::unique_ptr<VirtualCluster> cluster_;
};

TEST_F(Hosts, are_apart_as_hosts_are) {
  EXPECT_EQ(on("host1", "hostname").output, "host1\n");
  EXPECT_EQ(on("head", "ssh host2 hostname").output, "host2\n");
  on("host1", "echo 1 >/tmp/mine; echo 1 >/dev/shm/mine");
  EXPECT_EQ(on("host2", "ls /tmp /dev/shm").output, "/dev/shm:\n\n/tmp:\n");
  EXPECT_EQ(on("host1", "cat /tmp/mine /dev/shm/mine").output, "1\n1\n");
  EXPECT_EQ(on("host1", "exit 9").code, 9);
  EXPECT_EQ(on("host3", "true").code, 2);
}

TEST_F(Hosts, can_be_cut_stopped_and_healed) {
  ASSERT_TRUE(reaches("head", "host2"));
  ASSERT_TRUE(cluster_->act("cut host2"));
  EXPECT_FALSE(reaches("head", "host2"));
  EXPECT_TRUE(reaches("head", "host1"));
  ASSERT_TRUE(cluster_->act("heal host2"));
  EXPECT_TRUE(reaches("head", "host2"));
  ASSERT_TRUE(cluster_->act("stop host2"));
  EXPECT_FALSE(reaches("head", "host2"));
  EXPECT_EQ(on("host2", "true").code, 2);
  ASSERT_TRUE(cluster_->act("heal host2"));
  EXPECT_TRUE(reaches("head", "host2"));
}

/// Two mebibytes at 8 Mbit/s take two seconds.
TEST_F(Hosts, send_as_slowly_as_they_are_told) {
  const std::string send = "head -c 2097152 /dev/zero | ssh host2 'cat >/dev/null'";
  ASSERT_TRUE(cluster_->act("slow host1 8mbit"));
  double begin = steady_seconds();
  EXPECT_EQ(on("host1", send).code, 0);
  EXPECT_GT(steady_seconds() - begin, 1.5);
  ASSERT_TRUE(cluster_->act("heal host1"));
  begin = steady_seconds();
  EXPECT_EQ(on("host1", send).code, 0);
  EXPECT_LT(steady_seconds() - begin, 1.5);
}

TEST_F(Hosts, leave_nothing_behind_whatever_ends_them) {
  cluster_.reset();
  // The shell of `with` is killed, so that it cleans up nothing.
  const std::string mark = "73." + std::to_string(::getpid());
  Child child({.command = {script, "with", "1", "--", "sleep", mark}, .group = ChildGroup::own});
  const auto sleeps = [&] { return captured({"pgrep", "-f", "^sleep " + mark}, 10).code == 0; };
  for (int tries = 0; tries < 100 && !sleeps(); ++tries) sleep_a_little();
  ASSERT_TRUE(sleeps());
  const std::string name = "with_" + std::to_string(child.id());
  ::kill(child.id(), SIGKILL);
  while (child.poll_status() == -1) ::usleep(1000);
  ASSERT_TRUE(fs::exists("/run/netns/tri_" + name + "_host1"));
  EXPECT_EQ(captured({"env", "VIRTUAL_CLUSTER=test_" + std::to_string(::getpid()), script, "down"}, 60).code, 0);
  EXPECT_FALSE(sleeps());
  EXPECT_FALSE(fs::exists("/run/netns/tri_" + name + "_host1"));
  EXPECT_FALSE(fs::exists("/run/trireme_cluster/" + name));
  // And one that is told to end.
  Child told({.command = {script, "with", "1", "--", "sleep", mark}, .group = ChildGroup::own});
  for (int tries = 0; tries < 100 && !sleeps(); ++tries) sleep_a_little();
  ::kill(told.id(), SIGTERM);
  while (told.poll_status() == -1) ::usleep(1000);
  EXPECT_FALSE(sleeps());
  EXPECT_FALSE(fs::exists("/run/trireme_cluster/with_" + std::to_string(told.id())));
}

}  // namespace
}  // namespace trireme
