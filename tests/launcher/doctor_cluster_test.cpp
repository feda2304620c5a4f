// `trireme doctor` on a virtual cluster: a healthy one has no fault; a slow link, a cut host, a port that is taken, a
// foreign version and a folder that is not shared are each named with their host.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "core/io/file.hpp"
#include "launcher/doctor/agent_link.hpp"
#include "tests/support/job_terminal.hpp"
#include "tests/support/virtual_cluster.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

const std::string doctor_folder = TRIREME_BINARY_DIR "/doctor_cluster_test-" + std::to_string(::getpid());
const std::string cluster_program = TRIREME_BINARY_DIR "/launcher/trireme";

class DoctorCluster : public testing::Test {
 protected:
  void start(const std::string& options) {
    fs::remove_all(doctor_folder);
    fs::create_directories(doctor_folder);
    cluster_ = std::make_unique<VirtualCluster>(options, doctor_folder);
    if (!cluster_->skipped().empty()) GTEST_SKIP() << "skipped: " << cluster_->skipped();
    terminal_ = std::make_unique<JobTerminal>(doctor_folder, cluster_->on("head"));
  }
  void TearDown() override {
    terminal_.reset();
    cluster_.reset();
    fs::remove_all(doctor_folder);
  }
  Json doctor(Words words, int code, const std::string& program = cluster_program) const {
    words.insert(words.begin(), {program, "doctor", "--json", "--folders", doctor_folder});
    const Said said = terminal_->run(words);
    EXPECT_EQ(said.code, code) << said.text;
    const std::size_t begin = said.text.find('{');
    return begin == std::string::npos ? Json() : Json::parse(said.text.substr(begin, said.text.rfind('}') - begin + 1));
  }
  /// cluster/slurm/train.sh: a warning makes the ranks save, and the job queue itself again under its number.
  void expect_script_to_requeue() const {
    std::ofstream(doctor_folder + "/rank")
        << "#!/bin/bash\ncd " << doctor_folder << "\n[[ ! -e saved ]] || { echo goes on; exit 0; }\n"
        << "trap 'touch saved; exit 10' USR1\ntouch begun\nwhile :; do sleep 0.1; done\n";
    fs::permissions(doctor_folder + "/rank", fs::perms::owner_all);
    const Said sent = terminal_->run({"sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=1", "--time=5",
                                      "--chdir=" + doctor_folder, "--output=" + doctor_folder + "/slurm.log",
                                      "--export=ALL,STARTER=srun,TRIREME=" + cluster_program,
                                      TRIREME_SOURCE_DIR "/cluster/slurm/train.sh", doctor_folder + "/rank"});
    ASSERT_EQ(sent.code, 0) << sent.text;
    const std::string job = sent.text.substr(0, sent.text.find('\n'));
    const auto wait_until = [&](const auto& reached) {
      for (const double end = steady_seconds() + 60; !reached() && steady_seconds() < end;) sleep_a_little();
      EXPECT_TRUE(reached()) << (fs::exists(doctor_folder + "/slurm.log") ? read_file(doctor_folder + "/slurm.log")
                                                                          : "");
    };
    wait_until([] { return fs::exists(doctor_folder + "/begun"); });
    EXPECT_EQ(terminal_->run({"scancel", "--batch", "--signal=USR1", job}).code, 0);
    wait_until([&] {
      return terminal_->run({"squeue", "-h", "-j", job, "-o", "%T %r"}).text.starts_with("PENDING Begin");
    });
    EXPECT_TRUE(fs::exists(doctor_folder + "/saved"));
    terminal_->run({"scontrol", "update", "JobId=" + job, "StartTime=now+3"});
    wait_until([] { return read_file(doctor_folder + "/slurm.log").find("goes on") != std::string::npos; });
  }
  std::unique_ptr<VirtualCluster> cluster_;
  std::unique_ptr<JobTerminal> terminal_;
};

/// All findings of a check at a host that are not ok, as "host/check/verdict".
std::vector<std::string> complaints(const Json& report) {
  std::vector<std::string> out;
  for (const Json& host : report["hosts"]) {
    for (const Json& one : host["findings"]) {
      if (one["verdict"] != "ok") {
        out.push_back(host["host"].get<std::string>() + "/" + one["check"].get<std::string>() + "/" +
                      one["verdict"].get<std::string>());
      }
    }
  }
  return out;
}

bool holds(const Json& report, const std::string& complaint) {
  const auto all = complaints(report);
  return std::ranges::find(all, complaint) != all.end();
}

/// Of lines of ss; what listens for its own host alone is left out.
std::set<int> listening_ports(const std::string& text) {
  static const std::regex line(R"(LISTEN +\d+ +\d+ +(\S+):(\d+) )");
  std::set<int> out;
  for (std::sregex_iterator at(text.begin(), text.end(), line), end; at != end; ++at) {
    if (!(*at)[1].str().starts_with("127.")) out.insert(std::stoi((*at)[2]));
  }
  return out;
}

const Words three = {"--hosts", "host1,host2,host3", "--expect-gbit", "0.4", "--ports", "20000-20007"};

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST_F(DoctorCluster, names_what_is_wrong_and_nothing_else) {
  start("3 --rate 400mbit");
  if (IsSkipped()) return;
  // Healthy: cores differ from head's, which has all of them.
  Json report = doctor(with(three, {"--shared-folder", doctor_folder}), 0);
  for (const std::string& one : complaints(report)) EXPECT_TRUE(one.ends_with("/machine/warning")) << report.dump(1);
  ASSERT_EQ(report["links"].size(), 6u);
  for (const Json& link : report["links"]) {
    EXPECT_GT(link["gigabits"], 0.2) << link;
    EXPECT_LT(link["gigabits"], 0.45) << link;
  }
  // A slow link, and a port that another program has.
  ASSERT_TRUE(cluster_->act("slow host2 100mbit"));
  {
    Words words = cluster_->on("host3");
    words.insert(words.end(), {cluster_program, "doctor-agent"});
    AgentLink other("host3", words);
    other.ask({{"ask", "listen"}, {"token", "other"}, {"ports", {20005}}});
    ASSERT_TRUE(other.answer(20).has_value()) << other.problem();
    report = doctor(three, 0);
  }
  EXPECT_TRUE(holds(report, "host2/link/warning")) << report.dump(1);
  EXPECT_TRUE(holds(report, "host3/ports/warning")) << report.dump(1);
  EXPECT_FALSE(holds(report, "host1/link/warning") || holds(report, "host3/link/warning")) << report.dump(1);
  // A host that is cut off: a row, not a wait.
  ASSERT_TRUE(cluster_->act("cut host3"));
  const double begin = steady_seconds();
  report = doctor(with(three, {"--seconds", "3"}), 12);
  EXPECT_LT(steady_seconds() - begin, 25);
  EXPECT_TRUE(holds(report, "host3/ssh/fault")) << report.dump(1);
  EXPECT_FALSE(holds(report, "host1/ssh/fault"));
  EXPECT_EQ(report["links"].size(), 2u);
}

TEST_F(DoctorCluster, sees_foreign_versions_and_folders_that_are_not_shared) {
  start("2");
  if (IsSkipped()) return;
  // /tmp is each host's own: the program of host2 answers with another version, host1 has none.
  ASSERT_EQ(terminal_->run({"cp", cluster_program, "/tmp/trireme"}).code, 0);
  std::ofstream(doctor_folder + "/other")
      << "#!/bin/bash\n"
      << cluster_program << " \"$@\" | sed -u 's/\"version\":\"[0-9.]*/\"version\":\"0.0.9/'\n";
  fs::permissions(doctor_folder + "/other", fs::perms::owner_all);
  ASSERT_EQ(terminal_->run({"ssh", "host2", "cp " + doctor_folder + "/other /tmp/trireme"}).code, 0);
  Json report = doctor({"--hosts", "host1,host2", "--shared-folder", "/tmp", "--seconds", "3", "--links", "none"}, 1,
                       "/tmp/trireme");
  EXPECT_TRUE(holds(report, "host1/trireme/fault")) << report.dump(1);
  EXPECT_TRUE(holds(report, "host2/trireme/fault")) << report.dump(1);
  EXPECT_TRUE(holds(report, "host2/shared folder/fault")) << report.dump(1);
}

TEST_F(DoctorCluster, asks_slurm_and_mpi_keeps_to_its_ports) {
  start("2 --slurm");
  if (IsSkipped()) return;
  Json report = doctor({"--slurm"}, 0);
  EXPECT_TRUE(complaints(report).empty()) << report.dump(1);
  report = doctor({"--slurm", "--partition", "gpu"}, 1);
  EXPECT_TRUE(holds(report, "Slurm/partition/fault")) << report.dump(1);
  // While a job runs, everything on its hosts that listens to others does so within the range.
  std::ofstream(doctor_folder + "/rank.sh")
      << TRIREME_BINARY_DIR "/tests/tests_ranks --gtest_filter='*CommunicatorTest.SumsOfAllSizes*' >/dev/null &\n"
      << "while kill -0 $! 2>/dev/null; do ss -Htln; sleep 0.05; done\n";
  const Said said = terminal_->call({"launch", "-n", "2", "--hosts", "host1,host2", "--ports", "21000-21009",
                                     "--log-dir", doctor_folder + "/logs", "--", "bash", doctor_folder + "/rank.sh"});
  EXPECT_EQ(said.code, 0) << said.text;
  const auto ports = listening_ports(said.text);
  EXPECT_TRUE(std::ranges::any_of(ports, [](int port) { return port >= 21000 && port <= 21009; })) << said.text;
  for (const int port : ports) {
    const bool service = port == 22 || port == 6818;  // sshd, slurmd
    EXPECT_TRUE(service || (port >= 21000 && port <= 21009)) << port;
  }
  expect_script_to_requeue();
}

}  // namespace
}  // namespace trireme
