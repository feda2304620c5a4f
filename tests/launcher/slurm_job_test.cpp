// Jobs at a real Slurm on a virtual cluster: a training that is preempted, meets its time limit or loses a host goes on
// and ends with the weights of one that nobody disturbed, bit for bit.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>

#include "launcher/job/hang_report.hpp"
#include "launcher/job/job_store.hpp"
#include "tests/launcher/cluster_job.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

class SlurmJob : public ClusterJob {
 protected:
  /// Its state once it waits for its next start.
  Json requeued(const std::string& job, int seconds) const {
    const Json seen =
        terminal_->wait(job, seconds, [](const Json& now) { return now["phase"] == "waiting" || has_ended(now); });
    EXPECT_EQ(seen["phase"], "waiting") << seen.dump(1) << terminal_->call({"logs", job}).text;
    EXPECT_TRUE(has(seen["reason"], "Slurm: ")) << seen["reason"];
    return seen;
  }
  /// Slurm starts it by itself two minutes later. Not within the second of its requeue: slurmd takes such a start for
  /// the one that it has just ended ("already killed, do not launch"), and the job is lost.
  void start_soon(const std::string& id) const {
    EXPECT_EQ(terminal_->run({"timeout", "20", "scontrol", "update", "JobId=" + id, "StartTime=now+3"}).code, 0);
  }
  Json wait_for_step(const std::string& job, std::int64_t step, std::int64_t starts) const {
    const Json seen = terminal_->wait(job, 60, [&](const Json& now) {
      return has_ended(now) || (now["starts"] == starts && now.contains("step") && now["step"] >= step);
    });
    EXPECT_FALSE(has_ended(seen)) << seen.dump(1) << terminal_->call({"logs", job}).text;
    return seen;
  }
  /// A job that goes before all others and takes all hosts: Slurm asks what runs there to go away.
  void preempt() const {
    const Said taken = terminal_->run({"timeout", "20", "sbatch", "--partition=urgent", "--nodes=2", "--exclusive",
                                       "--output=/dev/null", "--wrap=true"});
    EXPECT_EQ(taken.code, 0) << taken.text;
  }
};

/// TRIREME_PREEMPTIONS in a row (5; make soak: 50).
TEST_F(SlurmJob, is_preempted_requeued_and_resumed_again_and_again) {
  const char* const wanted = std::getenv("TRIREME_PREEMPTIONS");
  const std::int64_t times = wanted == nullptr ? 5 : std::atoll(wanted);
  start("2 --slurm");
  if (IsSkipped()) return;
  // A start makes some steps more before it is told to go.
  steps_ = early * (times + 1 + times / 4), slow_ = 10;
  const std::string job =
      terminal_->submit(description("backend = slurm\nnodes = 2\nname = it's $(a) 100%j\ntime-limit = 10m\n", 20));
  std::string run;
  std::int64_t step = 0;
  for (std::int64_t time = 1; time <= times; ++time) {
    SCOPED_TRACE("preemption " + std::to_string(time));
    Json seen = wait_for_step(job, step + 2, time);
    ASSERT_FALSE(HasFailure());
    const std::string id = seen["slurm_id"];
    run = seen["run_folder"];
    if (time == 1) {
      const Said shown = terminal_->run({"timeout", "20", "scontrol", "show", "job", id});
      EXPECT_TRUE(has(shown.text, "JobName=it's $(a) 100%j\n")) << shown.text;
    }
    preempt();
    seen = requeued(job, 60);
    ASSERT_FALSE(HasFailure());
    EXPECT_LT(seen["step"], steps_);
    EXPECT_GT(seen["step"], step) << "each start gets on";
    step = seen["step"];
    start_soon(id);
  }
  const Json seen = terminal_->wait_for(job, "done", 90);
  EXPECT_EQ(seen["starts"], times + 1);
  expect_same(run, 20);
}

TEST_F(SlurmJob, srun_starts_the_ranks_where_the_site_wants_that) {
  start("2 --slurm");
  if (IsSkipped()) return;
  const std::string job = terminal_->submit(description("backend = slurm\nnodes = 2\nstarter = srun\nname = direct\n"));
  const Json seen = terminal_->wait_for(job, "done", 90);
  EXPECT_TRUE(has(terminal_->call({"logs", job}).text, "on 2 rank(s)")) << terminal_->call({"logs", job}).text;
  expect_same(seen["run_folder"]);
}

/// The host on which the script does not run loses its power, and comes back.
TEST_F(SlurmJob, a_host_that_goes_down_costs_a_start) {
  start("2 --slurm");
  if (IsSkipped()) return;
  slow_ = 5;
  const std::string job = terminal_->submit(description("backend = slurm\nnodes = 2\nname = down\n"));
  Json seen = wait_for_step(job, early, 1);
  ASSERT_FALSE(HasFailure());
  ASSERT_TRUE(cluster_->act("stop host2"));
  seen = requeued(job, 60);
  ASSERT_FALSE(HasFailure());
  ASSERT_TRUE(cluster_->act("heal host2"));
  start_soon(seen["slurm_id"]);
  seen = terminal_->wait_for(job, "done", 120);
  EXPECT_GE(seen["starts"], 2);
  expect_same(seen["run_folder"]);
}

/// A requeue by an administrator and a scancel look alike to the job: it is told to end. Only one of them is the end.
TEST_F(SlurmJob, what_slurm_ends_without_a_warning_goes_on_where_slurm_says_so) {
  start("2 --slurm");
  if (IsSkipped()) return;
  slow_ = 10;
  const std::string job = terminal_->submit(description("backend = slurm\nnodes = 2\nname = told\n"));
  Json seen = wait_for_step(job, early, 1);
  ASSERT_FALSE(HasFailure());
  const std::string first = seen["slurm_id"];
  ASSERT_EQ(terminal_->run({"timeout", "20", "scontrol", "requeue", first}).code, 0);
  seen = requeued(job, 60);
  ASSERT_FALSE(HasFailure());
  start_soon(first);
  seen = wait_for_step(job, static_cast<std::int64_t>(seen["step"]) + 2, 2);
  ASSERT_FALSE(HasFailure());
  ASSERT_EQ(terminal_->run({"timeout", "20", "scancel", first}).code, 0);
  seen = terminal_->wait(job, 60, [](const Json& now) { return has_ended(now); });
  ASSERT_EQ(seen["phase"], "cancelled") << seen.dump(1) << terminal_->call({"logs", job}).text;
  EXPECT_TRUE(has(seen["reason"], "Slurm ended it: ")) << seen["reason"];
  ASSERT_EQ(terminal_->call({"resume", job}).code, 0);
  seen = terminal_->wait_for(job, "done", 120);
  EXPECT_NE(seen["slurm_id"], first);
  expect_same(seen["run_folder"]);
}

/// A runner whose Slurm and mpirun are shell scripts: answers that the real ones give only when two things happen at
/// once.
class PlayedSlurm : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir_ / "bin");
    play("scontrol", "echo \"$@\" >>" + dir_ / "asked" + "; [ ! -e " + dir_ / "refused" +
                         " ] || { echo 'Job is pending execution' >&2; exit 1; }");
    write_file_atomically(job_.file("job.ini"),
                          "program = /bin/true\nbackend = slurm\nrun-dir = none\ndirectory = " + dir_.path().string());
    JobDescription described;
    described.backend = Backend::slurm;
    job_.begin(described, {});
  }
  void play(const std::string& program, const std::string& script) const {
    std::ofstream(dir_ / ("bin/" + program)) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(dir_ / ("bin/" + program), std::filesystem::perms::owner_all);
  }
  /// What squeue says of the job.
  void stands(const std::string& state) const { play("squeue", "echo '" + state + "|None|N/A'"); }
  void refuse_requeue() const { write_file_atomically(dir_ / "refused", ""); }
  /// mpirun ends because host b is gone.
  void lose_a_host() const {
    write_verdict(dir_.path().string(), {.kind = Verdict::Kind::lost, .code = 12, .rank = 1, .host = "b", .text = "x"});
    play("mpirun", "cp " + dir_ / "verdict.json" + " " + job_.start_folder(1) + "; exit 12");
  }
  /// mpirun runs until it is told to end, and tells when it can be.
  void train() const {
    play("mpirun", "trap 'exit 10' USR1 TERM; touch " + dir_ / "up" + "; while :; do sleep 0.05; done");
  }
  std::string asked() const {
    return std::filesystem::exists(dir_ / "asked") ? read_file(dir_ / "asked") : std::string();
  }

  /// Sends `signals` to the runner once the ranks are up, and SIGTERM once the job waits for Slurm, which ends the
  /// script of a job then. Its exit code.
  int run(const std::vector<int>& signals = {}) const {
    const std::string path = "PATH=" + dir_ / "bin" + ":" + std::getenv("PATH");
    Child runner(
        {.command = {"env", path, "SLURM_JOB_ID=7", TRIREME_BINARY_DIR "/launcher/trireme", "job-run", job_.path()}});
    bool told = signals.empty(), ended = false;
    for (const double end = steady_seconds() + 60; runner.poll_status() == -1 && steady_seconds() < end;) {
      ::usleep(20000);
      if (!told && std::filesystem::exists(dir_ / "up")) {
        for (const int signal : signals) ::kill(runner.id(), signal);
        told = true;
      }
      if (!ended && job_.state().phase == JobPhase::requeued) ended = ::kill(runner.id(), SIGTERM) == 0;
    }
    if (runner.poll_status() == -1) ::kill(runner.id(), SIGKILL);
    while (runner.poll_status() == -1) ::usleep(20000);
    return WEXITSTATUS(runner.poll_status());
  }
  TempDir dir_;
  JobFolder job_ = JobStore(dir_ / "jobs").create();
};

TEST_F(PlayedSlurm, gives_another_place_where_a_host_was_lost) {
  lose_a_host();
  stands("RUNNING");
  EXPECT_EQ(run(), 10);
  EXPECT_EQ(to_text(job_.state().phase), "requeued") << job_.state().reason;
  EXPECT_EQ(job_.state().starts, 1);
  EXPECT_EQ(asked(), "requeue 7\n");
}

TEST_F(PlayedSlurm, has_queued_the_job_again_before_it_was_asked) {
  lose_a_host();
  refuse_requeue();
  stands("PENDING");
  EXPECT_EQ(run(), 10);
  EXPECT_EQ(to_text(job_.state().phase), "requeued") << job_.state().reason;
  EXPECT_EQ(asked(), "requeue 7\n");
}

TEST_F(PlayedSlurm, does_not_take_a_job_back_that_still_runs) {
  lose_a_host();
  refuse_requeue();
  stands("RUNNING");
  run();
  EXPECT_EQ(to_text(job_.state().phase), "failed");
  EXPECT_TRUE(has(job_.state().reason, "Job is pending execution")) << job_.state().reason;
}

TEST_F(PlayedSlurm, says_what_becomes_of_a_job_that_it_ends_without_a_warning) {
  train();
  stands("COMPLETING");
  EXPECT_EQ(run({SIGTERM}), 10);
  EXPECT_EQ(to_text(job_.state().phase), "requeued") << job_.state().reason;
  EXPECT_TRUE(has(job_.state().reason, "Slurm ended it: ")) << job_.state().reason;
  EXPECT_EQ(asked(), "");
}

TEST_F(PlayedSlurm, is_asked_to_requeue_a_job_that_it_has_warned_or_only_told) {
  train();
  stands("COMPLETING");
  EXPECT_EQ(run({SIGUSR1}), 10);
  EXPECT_EQ(to_text(job_.state().phase), "requeued") << job_.state().reason;
  EXPECT_EQ(asked(), "requeue 7\n");
  stands("RUNNING");
  std::filesystem::remove(dir_ / "up");
  job_.write({.phase = JobPhase::queued});
  EXPECT_EQ(run({SIGTERM}), 10);
  EXPECT_EQ(to_text(job_.state().phase), "requeued") << job_.state().reason;
  EXPECT_EQ(asked(), "requeue 7\nrequeue 7\n");
}

/// Slurm counts whole minutes, and its warning may come a minute early: it takes two.
class SlurmLimit : public SlurmJob {};

TEST_F(SlurmLimit, warns_in_time_and_the_job_goes_on) {
  start("2 --slurm");
  if (IsSkipped()) return;
  slow_ = 120;
  const std::string job =
      terminal_->submit(description("backend = slurm\nnodes = 2\nname = long\ntime-limit = 2m\nwarning = 30s\n"));
  Json seen = wait_for_step(job, early, 1);
  ASSERT_FALSE(HasFailure());
  for (int ends = 0; ends < 4 && !has_ended(seen); ++ends) {
    seen = terminal_->wait(job, 150, [](const Json& now) { return now["phase"] == "waiting" || has_ended(now); });
    if (seen["phase"] == "waiting") start_soon(seen["slurm_id"]);
    if (!has_ended(seen)) seen = wait_for_step(job, static_cast<std::int64_t>(seen["step"]) + 1, ends + 2);
  }
  EXPECT_EQ(seen["phase"], "done") << seen.dump(1) << terminal_->call({"logs", job}).text;
  EXPECT_GE(seen["starts"], 2);
  EXPECT_FALSE(has(terminal_->call({"logs", job}).text, "TIME LIMIT")) << "it was asked, not ended";
  expect_same(seen["run_folder"]);
}

}  // namespace
}  // namespace trireme
