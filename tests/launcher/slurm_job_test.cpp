// Jobs at a real Slurm on a virtual cluster: a training that is preempted, meets its time limit or loses a host goes on
// and ends with the weights of one that nobody disturbed, bit for bit.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/launcher/cluster_job.hpp"

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
