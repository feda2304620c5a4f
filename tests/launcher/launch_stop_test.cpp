// How `trireme launch` ends a running job: it asks first, gives time, then orders; and what the exit code says then.
// The jobs are real ones of shell programs under mpirun; their own lines tell the test when to go on.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "tests/support/messages.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// `trireme launch` with two ranks of `script`; what it says is read as it comes.
class Job {
 public:
  Job(const std::string& folder, const std::string& script, const std::vector<std::string>& options)
      : child_({.command = command(folder, script, options), .group = ChildGroup::own, .death_signal = SIGKILL}) {}

  /// Waits until `part` was said `times` times, at most two minutes.
  void wait_for(const std::string& part, std::size_t times = 1) {
    const double end = now() + 120;
    while (count(said_, part) < times && now() < end && child_.poll_status() == -1) read_some();
    EXPECT_GE(count(said_, part), times) << "waited for '" << part << "', heard:\n" << said_;
  }
  void signal(int signal) { ::kill(child_.id(), signal); }
  bool runs() { return child_.poll_status() == -1; }
  /// The exit code; 128 + signal where one killed the launcher.
  int end() {
    while (runs()) read_some();
    read_some();
    const int status = child_.poll_status();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void read_some() {
    pollfd waits[] = {{child_.output(), POLLIN, 0}, {child_.error(), POLLIN, 0}};
    ::poll(waits, 2, 50);
    for (const pollfd& one : waits) {
      char bytes[1 << 16];
      if ((one.revents & POLLIN) == 0) continue;
      const ssize_t got = ::read(one.fd, bytes, sizeof bytes);
      if (got > 0) said_.append(bytes, static_cast<std::size_t>(got));
    }
  }
  const std::string& said() const { return said_; }

 private:
  static std::vector<std::string> command(const std::string& folder, const std::string& script,
                                          const std::vector<std::string>& options) {
    std::vector<std::string> words = {
        std::string(TRIREME_BINARY_DIR) + "/launcher/trireme", "launch", "-n", "2", "--log-dir", folder + "/logs"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/sh", "-c", script});
    return words;
  }
  Child child_;
  std::string said_;
};

/// Processes of `sleep` whose time is `mark`.
std::size_t sleepers(const std::string& mark) {
  std::size_t found = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    const std::string line(std::istreambuf_iterator<char>(file), {});
    if (line.starts_with("sleep") && has(line, mark)) ++found;
  }
  return found;
}

/// Says "ready" and goes on until a signal ends it; `trap` says what signals do.
std::string busy(const std::string& trap) { return trap + "; echo ready; while :; do sleep 0.05; done"; }

const std::string asked = "stopping: asked the ranks to save and end (again to end at once)\n";

class StoppedJob : public testing::Test {
 protected:
  void SetUp() override {
    if (find_program("mpirun").empty()) GTEST_SKIP() << "skipped: no mpirun";
  }
  const TempDir folder_;
};

TEST_F(StoppedJob, saves_and_says_how_to_go_on) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    Job job(folder_.path(), busy("trap 'echo saving; exit 10' USR1"), {"--grace", "600"});
    job.wait_for("ready", 2);
    job.signal(signal);
    EXPECT_EQ(job.end(), 10) << job.said();
    EXPECT_EQ(count(job.said(), asked), 1u) << job.said();
    EXPECT_TRUE(has(job.said(), "] saving\n")) << job.said();
    EXPECT_TRUE(
        has(job.said(), "trireme launch: saved; start the same command again, with the same --run-dir, to go on\n"))
        << job.said();
    for (const char* wrong : {"root cause", "stopped by", "Primary job"}) EXPECT_FALSE(has(job.said(), wrong));
  }
}

TEST_F(StoppedJob, that_saves_by_itself_is_no_failure) {
  Job job(folder_.path(), "exit 10", {});
  EXPECT_EQ(job.end(), 10) << job.said();
  EXPECT_TRUE(has(job.said(), "saved; start the same command again")) << job.said();
  EXPECT_FALSE(has(job.said(), "root cause")) << job.said();
}

TEST_F(StoppedJob, program_that_does_not_know_the_request_is_ended_by_sigterm) {
  const std::string mark = "66." + std::to_string(::getpid());
  Job job(folder_.path(), "echo ready; sleep " + mark + "; echo woken", {"--grace", "600"});
  job.wait_for("ready", 2);
  job.signal(SIGTERM);
  EXPECT_EQ(job.end(), 128 + SIGTERM) << job.said();
  EXPECT_TRUE(has(job.said(), "stopped by SIGTERM; all ranks have ended")) << job.said();
  EXPECT_FALSE(has(job.said(), "woken")) << job.said();
  EXPECT_EQ(sleepers(mark), 0u);
}

TEST_F(StoppedJob, program_that_knows_only_sigterm_can_save_too) {
  Job job(folder_.path(), busy("trap 'exit 10' TERM"), {"--grace", "600"});
  job.wait_for("ready", 2);
  job.signal(SIGTERM);
  EXPECT_EQ(job.end(), 10) << job.said();
}

TEST_F(StoppedJob, a_shell_around_the_program_waits_for_it) {
  const std::string inner = shell_quoted({"/bin/sh", "-c", busy("trap 'exit 10' USR1")});
  Job job(folder_.path(), inner + "; code=$?; echo around $code; exit $code", {"--grace", "600"});
  job.wait_for("ready", 2);
  job.signal(SIGTERM);
  EXPECT_EQ(job.end(), 10) << job.said();
  EXPECT_TRUE(has(job.said(), "around 10\n")) << job.said();
}

TEST_F(StoppedJob, ends_after_the_grace_time_when_it_ignores_everything) {
  const std::string mark = "67." + std::to_string(::getpid());
  Job job(folder_.path(), "trap '' USR1 TERM; echo ready; sleep " + mark, {"--grace", "1"});
  job.wait_for("ready", 2);
  job.signal(SIGTERM);
  EXPECT_EQ(job.end(), 128 + SIGTERM) << job.said();
  EXPECT_TRUE(has(job.said(), asked)) << job.said();
  EXPECT_TRUE(has(job.said(), "the ranks did not end within 1 s (--grace)\n")) << job.said();
  EXPECT_EQ(sleepers(mark), 0u);
}

TEST_F(StoppedJob, asked_again_ends_at_once) {
  const std::string mark = "68." + std::to_string(::getpid());
  Job job(folder_.path(), "trap '' USR1 TERM; echo ready; sleep " + mark, {"--grace", "600"});
  job.wait_for("ready", 2);
  job.signal(SIGINT);
  job.wait_for(asked);
  const std::string heard = "asked again: ending the ranks at once\n";
  for (const double begin = now(); !has(job.said(), heard) && now() < begin + 120;) {
    job.signal(SIGINT);
    job.read_some();
  }
  EXPECT_TRUE(has(job.said(), heard)) << job.said();
  EXPECT_EQ(job.end(), 128 + SIGINT) << job.said();
  EXPECT_EQ(sleepers(mark), 0u);
}

TEST_F(StoppedJob, two_signals_in_one_moment_are_one_request) {
  const std::string gate = folder_ / "gate";
  Job job(folder_.path(), busy("trap 'while [ ! -e " + gate + " ]; do sleep 0.05; done; exit 10' USR1"),
          {"--grace", "600"});
  job.wait_for("ready", 2);
  job.signal(SIGTERM);
  job.signal(SIGINT);
  job.wait_for(asked);
  write_file_atomically(gate, "");
  EXPECT_EQ(job.end(), 10) << job.said();
}

TEST_F(StoppedJob, without_grace_nobody_is_asked) {
  Job job(folder_.path(), busy("trap 'exit 10' USR1"), {"--grace", "0"});
  job.wait_for("ready", 2);
  job.signal(SIGTERM);
  EXPECT_EQ(job.end(), 128 + SIGTERM) << job.said();
  EXPECT_FALSE(has(job.said(), "asked")) << job.said();
}

TEST_F(StoppedJob, is_asked_when_its_time_is_over_too) {
  Job job(folder_.path(), busy("trap 'exit 10' USR1"), {"--grace", "600", "--timeout", "10"});
  EXPECT_EQ(job.end(), 10) << job.said();
  EXPECT_TRUE(has(job.said(), asked)) << job.said();
}

TEST_F(StoppedJob, failing_to_save_is_a_failure) {
  Job job(folder_.path(),
          busy("trap 'if [ $OMPI_COMM_WORLD_RANK = 1 ]; then echo error: disk is full >&2; exit 14; fi' USR1"),
          {"--grace", "600"});
  job.wait_for("ready", 2);
  job.signal(SIGTERM);
  EXPECT_EQ(job.end(), 14) << job.said();
  EXPECT_TRUE(has(job.said(), "root cause: rank 1 on ")) << job.said();
  EXPECT_TRUE(has(job.said(), "exited with code 14 (storage): error: disk is full\n")) << job.said();
}

TEST_F(StoppedJob, that_was_done_just_then_is_done) {
  Job job(folder_.path(), busy("trap 'exit 0' USR1"), {"--grace", "600"});
  job.wait_for("ready", 2);
  job.signal(SIGTERM);
  EXPECT_EQ(job.end(), 0) << job.said();
}

TEST_F(StoppedJob, before_its_ranks_run_is_ended_at_once) {
  // In the place of mpirun, something that never starts a rank and would die of an early request.
  const std::string mark = "69." + std::to_string(::getpid());
  fs::create_directories(folder_ / "bin");
  std::ofstream(folder_ / "bin/mpirun") << "#!/bin/sh\ntrap 'echo killed by the request; exit 1' USR1\n"
                                        << "trap 'exit 1' TERM\necho up\nwhile :; do sleep 0.05; done\n";
  ::chmod((folder_ / "bin/mpirun").c_str(), 0700);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", ((folder_ / "bin") + ":" + path).c_str(), 1);
  Job job(folder_.path(), "sleep " + mark, {"--grace", "600"});
  ::setenv("PATH", path.c_str(), 1);
  // Words of mpirun are held back for some seconds.
  job.wait_for("up");
  job.signal(SIGTERM);
  EXPECT_EQ(job.end(), 128 + SIGTERM) << job.said();
  EXPECT_FALSE(has(job.said(), "request") || has(job.said(), "asked")) << job.said();
}

TEST_F(StoppedJob, other_signals_reach_the_programs) {
  Job job(folder_.path(), busy("trap 'echo got it; exit 7' USR2"), {});
  job.wait_for("ready", 2);
  job.signal(SIGUSR2);
  EXPECT_EQ(job.end(), 7) << job.said();
  EXPECT_TRUE(has(job.said(), "] got it\n")) << job.said();
}

}  // namespace
}  // namespace trireme
