// The same words as in job_preview_test.cpp, to the end of their way: through submit, runner, launch, mpirun or sbatch
// and ssh to real ranks, which print what they got. And secrets: ranks have them, and nobody else sees them.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/job_words.hpp"
#include "launcher/run/option_value.hpp"
#include "tests/support/hostile.hpp"
#include "tests/support/job_terminal.hpp"
#include "tests/support/messages.hpp"
#include "tests/support/random_seed.hpp"
#include "tests/support/virtual_cluster.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

const std::string hostile_folder = TRIREME_BINARY_DIR "/hostile_jobs_test-" + std::to_string(::getpid());

std::string key(const std::string& name, const std::string& value) {
  return name + " = " + detail::quote_ini(value) + "\n";
}

/// A rank's log, a line each.
Words lines_of(const std::string& file) {
  Words out;
  std::istringstream lines(fs::exists(file) ? read_file(file) : "");
  for (std::string line; std::getline(lines, line);) out.push_back(line);
  return out;
}

class Ranks : public testing::Test {
 protected:
  void SetUp() override {
    if (find_program("mpirun").empty()) GTEST_SKIP() << "skipped: no mpirun";
    fs::remove_all(hostile_folder);
    fs::create_directories(hostile_folder);
    terminal_ = std::make_unique<JobTerminal>(hostile_folder);
  }
  void start(const std::string& options) {
    cluster_ = std::make_unique<VirtualCluster>(options, hostile_folder);
    if (!cluster_->skipped().empty()) GTEST_SKIP() << "skipped: " << cluster_->skipped();
    terminal_ = std::make_unique<JobTerminal>(hostile_folder, cluster_->on("head"));
  }
  void TearDown() override {
    terminal_.reset();
    cluster_.reset();
    fs::remove_all(hostile_folder);
  }

  /// `count` words from hell, in jobs of many words each; the ranks print them, and nothing else happens.
  void expect_words(const std::string& place, int count) {
    const std::uint32_t seed = random_seed();
    SCOPED_TRACE(replay(seed));
    const std::string canary = hostile_folder + "/canary";
    Hostile hostile(seed, canary);
    constexpr int words_of_a_job = 2500;
    for (int done = 0; done < count; done += words_of_a_job) {
      const std::string home = hostile_folder + "/d" + hostile.name(), program = home + "/" + hostile.name();
      fs::create_directories(home);
      fs::create_symlink("/usr/bin/printf", program);
      Words words = {"%s\\n"};
      for (int n = 0; n < words_of_a_job; ++n) words.push_back(hostile.text());
      words.push_back(std::string(20000, 'x') + "'");
      const std::string run = home + "/r" + hostile.name();
      const std::string job =
          terminal_->submit(key("name", hostile.name()) + key("directory", home) + key("program", program) +
                            key("arguments", join_words(words)) + key("run-dir", run) + place);
      const auto seen = terminal_->wait_for(job, "done", 120);
      words.erase(words.begin());
      words.insert(words.end(), {"--run-dir", fs::path(run).lexically_normal().string()});
      const Words got = lines_of(terminal_->folder(job) + "/start-1/rank-0.log");
      ASSERT_EQ(got.size(), words.size()) << seen.dump(1) << terminal_->call({"logs", job}).text.substr(0, 3000);
      for (std::size_t n = 0; n < words.size(); ++n) ASSERT_EQ(got[n], words[n]) << n;
      EXPECT_FALSE(fs::exists(canary));
      const auto entries = std::distance(fs::directory_iterator(home), fs::directory_iterator());
      EXPECT_EQ(entries, 1) << "something was written beside the program";
    }
  }

  std::unique_ptr<VirtualCluster> cluster_;
  std::unique_ptr<JobTerminal> terminal_;
};

TEST_F(Ranks, of_this_machine_get_the_words_of_the_description) {
  expect_words("backend = local\n", hostile_cases(5000));
}

TEST_F(Ranks, of_other_hosts_and_of_slurm_get_them_too) {
  start("2 --slurm");
  if (IsSkipped()) return;
  expect_words("hosts = host1,host2\nnodes = 2\n", hostile_cases(5000) / 2);
  expect_words("backend = slurm\nnodes = 2\n", hostile_cases(5000) / 2);
  expect_words("backend = slurm\nnodes = 2\nstarter = srun\n", hostile_cases(5000) / 2);
}

TEST_F(Ranks, get_no_word_with_a_control_character) {
  for (const char* name : {"arguments", "name", "program", "directory", "run-dir", "partition", "environment"}) {
    for (const char c : {'\n', '\r', '\t', '\x1b', '\x7f'}) {
      const Said said =
          terminal_->call({"submit", "--program", "/bin/true", std::string("--") + name + "=a" + c + "b", "--print"});
      EXPECT_EQ(said.code, 2) << name << said.text;
    }
  }
}

/// Ten that the description names, and ten whose values stand in it.
struct Secrets {
  Words names, values;
  Secrets() {
    for (int n = 0; n < 20; ++n) {
      names.push_back("PLANTED_" + std::to_string(n));
      values.push_back("s3cr3t-" + std::to_string(::getpid()) + "-" + std::to_string(n) + "-$x'\"");
    }
  }
  std::string environment() const {
    Words words;
    for (std::size_t n = 0; n < names.size(); ++n) words.push_back(n < 10 ? names[n] : names[n] + "=" + values[n]);
    return key("environment", join_words(words));
  }
  /// "" or the first one in `text`.
  std::string in(const std::string& text) const {
    for (const std::string& value : values) {
      if (has(text, value.substr(0, value.find("-$")))) return value;
    }
    return "";
  }
};

/// All processes of the machine, but those by which this test itself hands its variables over.
std::string command_lines() {
  std::string out;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    std::ifstream file(entry->path() / "cmdline");
    const std::string line(std::istreambuf_iterator<char>(file), {});
    if (!has(line, "XDG_STATE_HOME=" + hostile_folder)) out += line + "\n";
  }
  return out;
}

class Planted : public Ranks {
 protected:
  /// Each rank compares what it has with a file that only its owner reads, and waits to be let go.
  void expect_kept(const std::string& place) {
    const Secrets secrets;
    std::string wanted, test = "ok=0; exec 3<wanted; ";
    for (std::size_t n = 0; n < secrets.names.size(); ++n) {
      wanted += secrets.values[n] + "\n";
      test += "IFS= read -r w <&3; [ \"$w\" = \"$" + secrets.names[n] + "\" ] && ok=$((ok+1)); ";
      if (n < 10) terminal_->set(secrets.names[n], secrets.values[n]);
    }
    write_file_atomically(hostile_folder + "/wanted", wanted);
    fs::remove(hostile_folder + "/go");
    const std::string script = test + "echo have $ok of 20; while [ ! -e go ]; do sleep 0.05; done";
    const std::string ini = key("program", "/bin/sh") + key("arguments", join_words({"-c", script})) +
                            key("directory", hostile_folder) + "run-dir = none\n" + secrets.environment() + place;
    write_file_atomically(hostile_folder + "/printed.ini", ini);
    EXPECT_EQ(secrets.in(terminal_->call({"submit", hostile_folder + "/printed.ini", "--print"}).text), "");
    fs::remove(hostile_folder + "/printed.ini");
    const std::string job = terminal_->submit(ini);
    std::string shown;
    terminal_->wait(job, 60, [&](const Json&) {
      shown += command_lines();
      return has(terminal_->call({"logs", job}).text, "have 20 of 20");
    });
    shown += command_lines();
    std::ofstream(hostile_folder + "/go") << "";
    terminal_->wait_for(job, "done", 60);
    EXPECT_TRUE(has(terminal_->call({"logs", job}).text, "have 20 of 20"));
    EXPECT_EQ(secrets.in(shown), "") << "in a list of processes";
    for (const Words& call : std::vector<Words>{{"status", job}, {"status", job, "--json"}, {"list"}, {"logs", job}})
      EXPECT_EQ(secrets.in(terminal_->call(call).text), "") << call[0];
    for (const auto& entry : fs::recursive_directory_iterator(terminal_->folder(job))) {
      if (!entry.is_regular_file() || secrets.in(read_file(entry.path())).empty()) continue;
      struct stat facts {};
      ASSERT_EQ(::stat(entry.path().c_str(), &facts), 0);
      // The description itself, for its owner.
      EXPECT_EQ(entry.path().filename(), "job.ini");
      EXPECT_EQ(facts.st_mode & 077, 0u) << entry.path();
    }
  }
};

TEST_F(Planted, secrets_stay_with_the_ranks_of_this_machine) { expect_kept("backend = local\nranks-per-node = 2\n"); }

TEST_F(Planted, secrets_stay_with_the_ranks_of_hosts_and_of_slurm) {
  start("2 --slurm");
  if (IsSkipped()) return;
  expect_kept("hosts = host1,host2\nnodes = 2\n");
  expect_kept("backend = slurm\nnodes = 2\nstarter = srun\n");
}

}  // namespace
}  // namespace trireme
