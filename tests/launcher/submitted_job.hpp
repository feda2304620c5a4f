// What tests of submitted jobs share: a terminal with a home of its own, descriptions of shell programs, and a look at
// the processes of this machine.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "launcher/job/child.hpp"
#include "launcher/job/job_store.hpp"
#include "launcher/job/job_words.hpp"
#include "launcher/run/option_value.hpp"
#include "tests/launcher/job_processes.hpp"
#include "tests/support/job_terminal.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {

class SubmittedJob : public testing::Test {
 protected:
  void SetUp() override {
    if (find_program("mpirun").empty()) GTEST_SKIP() << "skipped: no mpirun";
  }
  /// A description of `script` run by sh; one rank, quick restarts.
  std::string shell(const std::string& script, const std::string& more = "") const {
    return "program = /bin/sh\narguments = " + detail::quote_ini(join_words({"-c", script})) +
           "\ndirectory = " + folder_.path().string() + "\nrun-dir = none\nrestart-delay = 0.1s\n" + more;
  }
  /// Shell text that counts its starts in a file and sets $n.
  std::string counted(const std::string& name) const {
    return "n=$(cat " + name + " 2>/dev/null || echo 0); n=$((n+1)); echo $n >" + name + "; ";
  }
  std::string mark(int number) const { return std::to_string(number) + "." + std::to_string(::getpid()); }
  static bool sleeps(const std::string& mark) {
    return has(all_command_lines(), "sleep" + std::string(1, '\0') + mark);
  }
  static void wait_until(double seconds, const std::function<bool()>& reached) {
    for (const double end = steady_seconds() + seconds; !reached() && steady_seconds() < end;) sleep_a_little();
    EXPECT_TRUE(reached());
  }

  /// As its files say, which unlike a command starts nobody.
  JobFolder job_folder(const std::string& job) const { return {terminal_.folder(job), std::atoll(job.c_str())}; }
  std::vector<pid_t> runners(const std::string& job) const {
    return processes("trireme", {"job-run", terminal_.folder(job)});
  }
  std::vector<pid_t> agents(const std::string& job) const {
    return processes("trireme", {"job-agent", terminal_.folder(job)});
  }
  void wait_for_phase(const std::string& job, JobPhase phase, double seconds = 60) const {
    const JobFolder folder = job_folder(job);
    wait_until(seconds, [&] { return folder.state().phase == phase || is_final(folder.state().phase); });
    EXPECT_EQ(to_text(folder.state().phase), to_text(phase)) << folder.text("output.log").value_or("");
  }

  TempDir folder_;
  JobTerminal terminal_{folder_.path().string()};
};

}  // namespace trireme
