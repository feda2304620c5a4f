// Jobs that go on by themselves when the processes that look after them are killed, and the queue of a list of hosts,
// on this machine: real runners, agents and mpirun jobs of shell programs.
#include <gtest/gtest.h>

#include "core/io/file.hpp"
#include "launcher/run/run_lock.hpp"
#include "tests/launcher/submitted_job.hpp"

namespace trireme {
namespace {

class HealedJob : public SubmittedJob {
 protected:
  /// Sleeps in the first start, and is done in the second.
  std::string done_in_the_second(int number) const {
    return shell(counted("n" + std::to_string(number)) + "[ $n -ge 2 ] && exit 0; sleep " + mark(number));
  }
  void wait_for_both(const std::string& job) const {
    wait_until(30, [&] { return runners(job).size() == 1 && agents(job).size() == 1; });
  }
  static void kill_all(const std::vector<pid_t>& victims) {
    ASSERT_FALSE(victims.empty());
    for (const pid_t victim : victims) ::kill(victim, SIGKILL);
  }
  /// At the same moment: a stopped process starts nobody.
  void kill_both(const std::string& job) const {
    for (const pid_t agent : agents(job)) ::kill(agent, SIGSTOP);
    kill_all(runners(job));
    kill_all(agents(job));
  }
};

TEST_F(HealedJob, a_killed_runner_is_started_again_by_the_agent) {
  const std::string job = terminal_.submit(done_in_the_second(72));
  wait_until(30, [&] { return sleeps(mark(72)) && agents(job).size() == 1; });
  kill_all(runners(job));
  wait_for_phase(job, JobPhase::done);
  EXPECT_EQ(job_folder(job).state().starts, 2);
  EXPECT_FALSE(sleeps(mark(72)));
  wait_until(30, [&] { return runners(job).empty() && agents(job).empty(); });
}

TEST_F(HealedJob, a_killed_agent_is_started_again_by_the_runner) {
  const std::string job = terminal_.submit(shell("sleep " + mark(73)));
  wait_for_both(job);
  const std::vector<pid_t> first = agents(job);
  kill_all(first);
  wait_until(30, [&] { return agents(job).size() == 1 && agents(job) != first; });
  EXPECT_EQ(job_folder(job).state().starts, 1);
}

TEST_F(HealedJob, a_runner_that_is_told_to_go_leaves_the_job_to_the_next) {
  const std::string job = terminal_.submit(
      shell(counted("n") + "[ $n -ge 2 ] && exit 0; trap 'echo saving; exit 10' USR1; while :; do sleep 0.05; done"));
  wait_until(30,
             [&] { return has(job_folder(job).text("output.log").value_or(""), "start 1") && !agents(job).empty(); });
  wait_until(30, [&] { return std::filesystem::exists(folder_ / "n"); });
  for (const pid_t runner : runners(job)) ::kill(runner, SIGTERM);
  wait_for_phase(job, JobPhase::done);
  EXPECT_TRUE(has(job_folder(job).text("output.log").value_or(""), "a signal to its runner"));
}

/// Each start makes a folder that it removes when it ends: one that finds it there is a second set of ranks.
TEST_F(HealedJob, never_has_two_sets_of_ranks) {
  const std::string job = terminal_.submit(
      shell("mkdir held || exit 13; trap 'sleep 1.5; rmdir held; exit 10' USR1 TERM; echo in >>starts; "
            "while [ ! -e enough ]; do sleep 0.05; done; rmdir held",
            "no-progress = 50\nrestarts = 50\n"));
  for (int kills = 1; kills <= 3; ++kills) {
    wait_until(30, [&] {
      const bool in = std::filesystem::exists(folder_ / "starts");
      return in && read_file(folder_ / "starts").size() == 3 * static_cast<std::size_t>(kills) && !runners(job).empty();
    });
    kill_all(runners(job));
  }
  wait_until(30, [&] { return read_file(folder_ / "starts").size() == 12; });
  write_file_atomically(folder_ / "enough", "");
  wait_for_phase(job, JobPhase::done);
}

/// Ranks that do not listen live for two seconds after their mpirun. (A dead one that nobody has waited for yet has no
/// command line.)
TEST_F(HealedJob, waits_for_the_ranks_of_a_killed_mpirun) {
  const std::string job = terminal_.submit(
      shell("trap '' TERM HUP; [ ! -e pid ] || [ -z \"$(tr -d '\\0' </proc/$(cat pid)/cmdline)\" ] || exit 13; "
            "echo $$ >pid; echo in >>starts; "
            "while [ ! -e enough ]; do sleep 0.05; done",
            "no-progress = 50\nrestarts = 50\n"));
  const auto started = [&](std::size_t times) {
    return std::filesystem::exists(folder_ / "starts") && read_file(folder_ / "starts").size() == 3 * times;
  };
  for (std::size_t kills = 1; kills <= 2; ++kills) {
    wait_until(30, [&] { return started(kills) || is_final(job_folder(job).state().phase); });
    const std::string logs = job_folder(job).start_folder(static_cast<std::int64_t>(kills));
    kill_all(processes("mpirun", {"rank-exec", "--log-dir", logs}));
  }
  wait_until(30, [&] { return started(3) || is_final(job_folder(job).state().phase); });
  write_file_atomically(folder_ / "enough", "");
  wait_for_phase(job, JobPhase::done);
  EXPECT_EQ(job_folder(job).state().starts, 3);
}

TEST_F(HealedJob, waits_while_somebody_keeps_its_run_folder) {
  const std::string run = folder_ / "run";
  std::filesystem::create_directory(run);
  std::string text = shell(counted("n"));
  text.replace(text.find("run-dir = none"), 14, "run-dir = " + run);
  std::string job;
  {
    const RunLock keeper(run, "-");
    job = terminal_.submit(text);
    wait_until(30, [&] {
      return has(job_folder(job).text("output.log").value_or(""), "waiting for the ranks of the last start to end") ||
             std::filesystem::exists(folder_ / "n");
    });
    EXPECT_EQ(job_folder(job).state().starts, 0);
  }
  wait_for_phase(job, JobPhase::done);
  EXPECT_EQ(job_folder(job).state().starts, 1);
}

TEST_F(HealedJob, the_next_command_goes_on_with_one_that_nobody_runs) {
  const std::string job = terminal_.submit(done_in_the_second(74));
  wait_until(30, [&] { return sleeps(mark(74)) && agents(job).size() == 1; });
  kill_both(job);
  wait_until(30, [&] { return !sleeps(mark(74)); });
  EXPECT_EQ(job_folder(job).state().phase, JobPhase::running);
  EXPECT_TRUE(runners(job).empty());
  terminal_.call({"list"});
  wait_for_phase(job, JobPhase::done);
  EXPECT_EQ(job_folder(job).state().starts, 2);
}

/// What an agent and a command begin that have both seen that nobody ran it, and what one begins that was slow.
TEST_F(HealedJob, has_one_runner_and_one_agent) {
  const std::string job = terminal_.submit(shell(counted("n") + "while [ ! -e enough ]; do sleep 0.05; done"));
  wait_for_both(job);
  wait_until(30, [&] { return std::filesystem::exists(folder_ / "n"); });
  const std::vector<pid_t> runner = runners(job), agent = agents(job);
  const std::string trireme = std::string(TRIREME_BINARY_DIR) + "/launcher/trireme";
  for (const char* second : {"job-run", "job-agent"}) {
    const Said said = terminal_.run({"timeout", "20", trireme, second, terminal_.folder(job)});
    EXPECT_EQ(said.code, 0) << second << said.text;
  }
  EXPECT_EQ(runners(job), runner);
  EXPECT_EQ(agents(job), agent);
  write_file_atomically(folder_ / "enough", "");
  wait_for_phase(job, JobPhase::done);
  wait_until(30, [&] { return runners(job).empty() && agents(job).empty(); });
  EXPECT_EQ(terminal_.run({"timeout", "20", trireme, "job-run", terminal_.folder(job)}).code, 0);
  EXPECT_EQ(job_folder(job).state().starts, 1);
  EXPECT_EQ(read_file(folder_ / "n"), "1\n");
}

TEST_F(HealedJob, every_command_goes_on_with_one_that_nobody_runs) {
  write_file_atomically(folder_ / "other.ini", shell("true"));
  for (const std::string command : {"status", "logs", "submit"}) {
    SCOPED_TRACE(command);
    const std::string job = terminal_.submit(done_in_the_second(77));
    wait_until(30, [&] { return sleeps(mark(77)) && agents(job).size() == 1; });
    kill_both(job);
    wait_until(30, [&] { return !sleeps(mark(77)); });
    EXPECT_EQ(terminal_.call({command, command == "submit" ? folder_ / "other.ini" : job}).code, 0);
    wait_for_phase(job, JobPhase::done);
    EXPECT_EQ(job_folder(job).state().starts, 2);
    std::filesystem::remove(folder_ / "n77");
  }
}

TEST_F(HealedJob, whose_variables_are_not_there_waits_for_resume) {
  write_file_atomically(folder_ / "job.ini", done_in_the_second(75) + "environment = TOKEN_OF_THE_JOB\n");
  const std::string submit = std::string(TRIREME_BINARY_DIR) + "/launcher/trireme";
  ASSERT_EQ(terminal_.run({"env", "TOKEN_OF_THE_JOB=x", submit, "submit", folder_ / "job.ini"}).code, 0);
  const std::string job = "1";
  wait_until(30, [&] { return sleeps(mark(75)) && agents(job).size() == 1; });
  kill_both(job);
  JobState state = job_folder(job).state();
  state.started -= 100;
  state.submitted -= 100;
  job_folder(job).write(state);
  EXPECT_EQ(terminal_.status(job)["phase"], "lost");
  EXPECT_TRUE(runners(job).empty());
  EXPECT_EQ(terminal_.call({"resume", job}).code, 0);
  wait_for_phase(job, JobPhase::done);
}

TEST_F(HealedJob, that_is_cancelled_stays_so_without_runner_and_agent) {
  const std::string job = terminal_.submit(shell("sleep " + mark(76)));
  wait_until(30, [&] { return sleeps(mark(76)) && agents(job).size() == 1; });
  kill_both(job);
  EXPECT_EQ(terminal_.call({"cancel", job}).code, 0);
  wait_for_phase(job, JobPhase::cancelled);
  EXPECT_FALSE(sleeps(mark(76)));
  wait_until(30, [&] { return runners(job).empty() && agents(job).empty(); });
}

TEST_F(HealedJob, waits_for_slots_and_says_for_whose) {
  // mpirun reaches this machine without ssh.
  const std::string place = "hosts = localhost:2\nranks-per-node = 2\n";
  const std::string gate = "while [ ! -e gate ]; do sleep 0.05; done";
  const std::string first = terminal_.submit(shell(gate, place + "time-limit = 2h\n"));
  const std::string second = terminal_.submit(shell("true", place)), third = terminal_.submit(shell("true", place));
  const Json waiting = terminal_.status(second);
  EXPECT_EQ(waiting["phase"], "waiting");
  const std::string reason = waiting["reason"];
  EXPECT_TRUE(has(reason, "for 2 slots: job 1 holds localhost until about ")) << reason;
  EXPECT_TRUE(has(terminal_.status(third)["reason"].get<std::string>(), "behind job 2")) << terminal_.status(third);
  EXPECT_TRUE(has(terminal_.call({"list"}).text, "job 1 holds localhost")) << terminal_.call({"list"}).text;
  // One that waits goes without having started, and the next one moves up.
  EXPECT_EQ(terminal_.call({"cancel", second}).code, 0);
  EXPECT_EQ(terminal_.wait_for(second, "cancelled")["starts"], 0);
  EXPECT_EQ(terminal_.status(third)["phase"], "waiting");
  write_file_atomically(folder_ / "gate", "");
  terminal_.wait_for(first, "done");
  terminal_.wait_for(third, "done");
}

TEST_F(HealedJob, that_never_fits_is_refused_at_once) {
  write_file_atomically(folder_ / "job.ini", shell("true", "hosts = localhost:2\nranks-per-node = 3\n"));
  const Said said = terminal_.call({"submit", folder_ / "job.ini"});
  EXPECT_EQ(said.code, 2);
  EXPECT_TRUE(has(said.text, "0 of the 1 hosts have room for 3 ranks")) << said.text;
  EXPECT_TRUE(has(terminal_.call({"list"}).text, "no job was submitted"));
}

}  // namespace
}  // namespace trireme
