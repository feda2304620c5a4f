// Jobs that go on without their terminal, on this machine: real runners and real mpirun jobs of shell programs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/job_store.hpp"
#include "launcher/job/job_view.hpp"
#include "launcher/job/job_words.hpp"
#include "launcher/run/metrics_records.hpp"
#include "launcher/run/option_value.hpp"
#include "tests/launcher/submitted_job.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// Lines but those of `env XDG_STATE_HOME=home ...`, by which a JobTerminal sets variables.
std::string without_calls(const std::string& lines, const std::string& home) {
  std::string out;
  std::istringstream all(lines);
  for (std::string line; std::getline(all, line);) {
    if (!has(line, "XDG_STATE_HOME=" + home)) out += line + "\n";
  }
  return out;
}

TEST_F(SubmittedJob, runs_without_its_terminal_and_is_done) {
  const std::string job =
      terminal_.submit(shell("echo hello from $OMPI_COMM_WORLD_RANK; sleep 1", "ranks-per-node = 2\nname = first\n"));
  ASSERT_EQ(terminal_.wait_for(job, "running")["phase"], "running");
  const JobFolder folder(terminal_.folder(job), 1);
  // A session of its own, no terminal, and nobody of ours as its parent.
  const pid_t runner = static_cast<pid_t>(folder.state().process);
  EXPECT_NE(::getsid(runner), ::getsid(0));
  const Json done = terminal_.wait_for(job, "done");
  EXPECT_EQ(done["starts"], 1);
  const Said log = terminal_.call({"logs", job});
  EXPECT_TRUE(has(log.text, "[0] hello from 0\n") && has(log.text, "[1] hello from 1\n")) << log.text;
  EXPECT_EQ(terminal_.call({"logs", job, "--rank", "1"}).text, "hello from 1\n");
  EXPECT_TRUE(has(terminal_.call({"list"}).text, "first")) << terminal_.call({"list"}).text;
  EXPECT_EQ(terminal_.call({"resume", job}).code, 2);
  EXPECT_EQ(terminal_.call({"cancel", job}).code, 2);
}

TEST_F(SubmittedJob, starts_again_after_a_failure) {
  const std::string job = terminal_.submit(shell(counted("n") + "[ $n -ge 3 ] || exit 14; echo third"));
  const Json done = terminal_.wait_for(job, "done");
  EXPECT_EQ(done["starts"], 3);
  const std::string log = terminal_.call({"logs", job}).text;
  EXPECT_TRUE(has(log, "code 14 (storage); starting again in 0 s") && has(log, "third\n")) << log;
}

TEST_F(SubmittedJob, is_given_up_where_starting_again_is_no_use) {
  const Json numeric = terminal_.wait_for(terminal_.submit(shell("exit 13")), "failed");
  EXPECT_EQ(numeric["starts"], 1);
  EXPECT_EQ(numeric["code"], 13);
  EXPECT_TRUE(has(numeric["reason"], "starting again would end in the same way"));
  EXPECT_TRUE(has(numeric["cause"], "start 1: rank 0 on " + host_name() + " exited with code 13")) << numeric;
  const std::string killed = terminal_.submit(shell("kill -9 $$", "no-progress = 2\n"));
  const Json stuck = terminal_.wait_for(killed, "failed");
  EXPECT_TRUE(has(stuck["cause"], "start 2: rank 0 on ") && has(stuck["cause"], "SIGKILL")) << stuck;
  const std::string shown = terminal_.call({"status", killed}).text;
  EXPECT_TRUE(has(shown, "last failure  start 2: rank 0")) << shown;
  EXPECT_TRUE(has(shown, "trireme resume " + killed)) << shown;
  EXPECT_EQ(stuck["starts"], 2);
  EXPECT_EQ(stuck["code"], 93);
  const Json limited = terminal_.wait_for(terminal_.submit(shell("exit 12", "restarts = 0\n")), "failed");
  EXPECT_EQ(limited["starts"], 1);
  EXPECT_EQ(limited["code"], 12);
}

TEST_F(SubmittedJob, cancel_lets_it_save) {
  const std::string job =
      terminal_.submit(shell("trap 'echo saving; exit 10' USR1; echo ready; while :; do sleep 0.05; done"));
  wait_until(30, [&] { return has(terminal_.call({"logs", job}).text, "ready\n"); });
  EXPECT_EQ(terminal_.call({"cancel", job}).code, 0);
  const Json ended = terminal_.wait_for(job, "cancelled");
  EXPECT_EQ(ended["code"], 10);
  EXPECT_TRUE(has(terminal_.call({"logs", job}).text, "saving\n"));
}

TEST_F(SubmittedJob, a_second_cancel_ends_it_at_once) {
  const std::string job =
      terminal_.submit(shell("trap '' USR1 TERM; echo ready; sleep " + mark(71) + "; sleep " + mark(71)));
  wait_until(30, [&] { return has(terminal_.call({"logs", job}).text, "ready\n"); });
  terminal_.call({"cancel", job});
  wait_until(10, [&] { return has(terminal_.call({"logs", job}).text, "asked the ranks to save"); });
  ::usleep(600000);  // what comes sooner is the same request (docs/launching.md)
  terminal_.call({"cancel", job});
  terminal_.wait_for(job, "cancelled", 20);
  EXPECT_FALSE(sleeps(mark(71)));
}

TEST_F(SubmittedJob, its_time_limit_ends_it) {
  const std::string job =
      terminal_.submit(shell("trap 'exit 10' USR1; while :; do sleep 0.05; done", "time-limit = 2s\n"));
  const Json ended = terminal_.wait_for(job, "cancelled");
  EXPECT_TRUE(has(ended["reason"], "its time limit")) << ended["reason"];
}

TEST_F(SubmittedJob, sees_only_variables_that_were_named_and_shows_none) {
  const std::string secret = "s3cret-" + std::to_string(::getpid()), listed = "l1sted-" + std::to_string(::getpid());
  terminal_.set("PLANTED_SECRET", secret);
  terminal_.set("HF_TOKEN", listed);
  write_file_atomically(folder_ / "wanted", listed + " " + listed + " two words\n");
  // A family that reaches every job: named in the description, its value is not shown either.
  terminal_.set("TRIREME_TOKEN", listed);
  const std::string job =
      terminal_.submit(shell("[ -z \"$PLANTED_SECRET\" ] && [ \"$HF_TOKEN $TRIREME_TOKEN $GIVEN\" = \"$(cat wanted)\" "
                             "] || exit 13; echo ready; sleep 1",
                             "environment = HF_TOKEN TRIREME_TOKEN \"GIVEN=two words\"\n"));
  std::string shown;
  wait_until(30, [&] {
    shown += all_command_lines();
    return has(terminal_.call({"logs", job}).text, "ready\n");
  });
  shown += all_command_lines();
  terminal_.wait_for(job, "done");
  for (const auto& entry : fs::recursive_directory_iterator(terminal_.folder(job))) {
    if (entry.is_regular_file()) shown += read_file(entry.path().string());
  }
  EXPECT_TRUE(has(shown, "HF_TOKEN")) << "the search finds what is there";
  // The calls of this test have the values on their own command lines (env NAME=value).
  EXPECT_FALSE(has(without_calls(shown, folder_.path().string()), secret));
  EXPECT_FALSE(has(without_calls(shown, folder_.path().string()), listed));
}

TEST(JobStore, states_read_back_and_damage_is_told) {
  TempDir folder;
  const JobStore store(folder / "jobs");
  const JobFolder first = store.create(), second = store.create();
  EXPECT_EQ(first.id(), 1);
  EXPECT_EQ(second.id(), 2);
  struct stat facts {};
  ASSERT_EQ(::stat(first.path().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700u);
  EXPECT_THROW(first.state(), Error) << "nobody has submitted it yet";
  JobState state{
      .phase = JobPhase::pausing, .starts = 3, .code = 137, .reason = "r \"\n\xff", .process = 7, .next_start = 1.5};
  state.history = {.failures = {1.25, 2.5}, .newest_step = -1, .stuck = 2};
  JobDescription here, at_slurm;
  here.backend = Backend::local;
  at_slurm.backend = Backend::slurm;
  first.begin(here, {});
  second.begin(at_slurm, {});
  for (const JobFolder& one : {first, second}) {
    one.write(state);
    const JobState back = one.state();
    EXPECT_EQ(back.phase, JobPhase::pausing);
    EXPECT_EQ(back.starts, 3);
    EXPECT_EQ(back.code, 137);
    EXPECT_EQ(back.next_start, 1.5);
    EXPECT_EQ(back.history.failures, state.history.failures);
    EXPECT_EQ(back.history.newest_step, -1);
  }
  EXPECT_FALSE(fs::exists(first.file("state.json")));
  ASSERT_EQ(::stat(second.file("state.json").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  for (const char* damage : {"", "{", "{}", "[]", "{\"phase\":\"gone\"}"}) {
    second.write_text("state.json", damage);
    EXPECT_THROW(second.state(), Error) << damage;
  }
  for (const char* id : {"", "0", "-1", "01", "1x", "3", "../1", "99999999999999999999"})
    EXPECT_THROW(store.open(id), Error) << id;
  EXPECT_EQ(store.open("2").path(), second.path());
  EXPECT_EQ(store.list().size(), 2u);
}

/// A job of Slurm is run on hosts that must not open the data base.
TEST(JobStore, jobs_of_slurm_are_not_in_the_data_base) {
  TempDir folder;
  const JobFolder job = JobStore(folder / "jobs").create();
  JobDescription at_slurm;
  at_slurm.backend = Backend::slurm;
  job.begin(at_slurm, {});
  job.write({.phase = JobPhase::running});
  EXPECT_EQ(job.state().phase, JobPhase::running);
  EXPECT_FALSE(fs::exists(folder / "jobs/jobs.db"));
}

TEST(RunProgress, comes_from_metrics_and_plan) {
  TempDir run;
  EXPECT_FALSE(read_progress(run.path().string()));
  std::ofstream metrics(run / "metrics.jsonl");
  for (int step = 1; step <= 40; ++step)
    metrics << to_json_line(StepRecord{
                   .step = step, .loss = 1.0 / step, .samples_per_second = 64, .elapsed_seconds = 0.5 * step})
            << "\n";
  metrics.close();
  EXPECT_LT(read_progress(run.path().string())->seconds_to_go, 0);
  std::ofstream(run / "plan.json") << "{\"steps\":100}\n";
  const auto progress = read_progress(run.path().string());
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->step, 40);
  EXPECT_EQ(progress->steps, 100);
  EXPECT_DOUBLE_EQ(progress->loss, 1.0 / 40);
  EXPECT_NEAR(progress->seconds_to_go, 30, 1e-9);
  EXPECT_EQ(progress->checkpoint, -1);
}

}  // namespace
}  // namespace trireme
