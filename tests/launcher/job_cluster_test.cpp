// Jobs across hosts, on a virtual cluster with real sshd and mpirun: a training that loses a host and goes on ends with
// the weights of one that nobody disturbed, bit for bit.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/launcher/cluster_job.hpp"

namespace trireme {
namespace {

TEST_F(ClusterJob, a_host_that_is_cut_off_costs_a_restart) {
  start("2");
  if (IsSkipped()) return;
  const std::string job = start_training("hosts = host1,host2\nnodes = 2\nname = cut\nno-progress = 20\n");
  ASSERT_FALSE(HasFailure());
  ASSERT_TRUE(cluster_->act("cut host2"));
  Json seen = terminal_->wait(
      job, 60, [](const Json& now) { return now["phase"] == "pausing" || now["starts"] > 1 || has_ended(now); });
  EXPECT_FALSE(has_ended(seen)) << seen.dump(1) << terminal_->call({"logs", job}).text;
  ASSERT_TRUE(cluster_->act("heal host2"));
  seen = terminal_->wait_for(job, "done", 120);
  EXPECT_GE(seen["starts"], 2);
  expect_same(seen["run_folder"]);
}

/// The cable stays pulled, and a third host is free.
TEST_F(ClusterJob, a_free_host_takes_the_place_of_a_lost_one) {
  start("3");
  if (IsSkipped()) return;
  const std::string job = start_training("hosts = host1,host2,host3\nnodes = 2\nname = replaced\n");
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ(terminal_->status(job)["hosts"], "host1, host2");
  ASSERT_TRUE(cluster_->act("cut host2"));
  Json seen = terminal_->wait_for(job, "done", 120);
  const std::string said = terminal_->call({"logs", job}).text;
  EXPECT_EQ(seen["phase"], "done") << said;
  EXPECT_EQ(seen["starts"], 2) << said;
  EXPECT_TRUE(has(said, "root cause: host host2 is lost: no word of rank 1 for ")) << said;
  EXPECT_TRUE(has(said, "on host1:1,host3:1 instead of host1:1,host2:1")) << said;
  expect_same(seen["run_folder"]);
  // The next job is not sent there either.
  const std::string next = terminal_->submit(
      "program = /bin/hostname\nhosts = host2,host3\nrun-dir = none\ndirectory = " + cluster_folder + "\n");
  terminal_->wait_for(next, "done", 60);
  const std::string of_next = terminal_->call({"logs", next}).text;
  EXPECT_TRUE(has(of_next, "host3") && !has(of_next, "host2")) << of_next;
}

/// Its network for the ranks is gone, or its processes hang: ssh says that it is there.
TEST_F(ClusterJob, a_silent_host_that_answers_ssh_is_replaced_too) {
  start("3");
  if (IsSkipped()) return;
  const std::string job = start_training("hosts = host1,host2,host3\nnodes = 2\nname = silent\n");
  ASSERT_FALSE(HasFailure());
  int stopped = 0;
  for (const pid_t wrapper : processes("trireme", {"rank-exec", "--log-dir", terminal_->folder(job) + "/start-1"})) {
    const std::string environment = read_file("/proc/" + std::to_string(wrapper) + "/environ");
    if (has(environment, "OMPI_COMM_WORLD_RANK=1")) stopped += ::kill(wrapper, SIGSTOP) == 0 ? 1 : 0;
  }
  EXPECT_EQ(stopped, 1);
  Json seen = terminal_->wait_for(job, "done", 120);
  const std::string said = terminal_->call({"logs", job}).text;
  EXPECT_EQ(seen["starts"], 2) << said;
  EXPECT_TRUE(has(said, "on host1:1,host3:1 instead of host1:1,host2:1")) << said;
  expect_same(seen["run_folder"]);
}

/// By its address, which is none of the names that the host gives itself.
TEST_F(ClusterJob, a_host_that_does_not_answer_is_waited_for_unless_another_is_free) {
  start("3");
  if (IsSkipped()) return;
  const std::string program =
      "program = /bin/hostname\nrun-dir = none\nranks-per-node = 1\ndirectory = " + cluster_folder + "\n";
  const std::string address = "10.213.77.";
  ASSERT_TRUE(cluster_->act("stop host2"));
  const std::string alone = terminal_->submit(program + "hosts = " + address + "1," + address + "2\nnodes = 2\n");
  const std::string gives_up = terminal_->submit(program + "hosts = host2\nhost-wait = 1s\n");
  const std::string free =
      terminal_->submit(program + "hosts = " + address + "2," + address + "3," + address + "1\nnodes = 2\n");
  Json seen = terminal_->wait_for(alone, "pausing", 60);
  EXPECT_EQ(seen["phase"], "pausing") << terminal_->call({"logs", alone}).text;
  EXPECT_TRUE(has(seen["reason"].get<std::string>(), address + "2 does not answer (ssh: connect to host ")) << seen;
  seen = terminal_->wait_for(gives_up, "failed", 60);
  EXPECT_EQ(seen["code"], 12) << seen;
  EXPECT_EQ(seen["starts"], 0) << seen;
  EXPECT_TRUE(has(seen["reason"].get<std::string>(), ", for 1 s (host-wait)")) << seen;
  ASSERT_TRUE(cluster_->act("heal host2"));
  seen = terminal_->wait_for(alone, "done", 60);
  EXPECT_EQ(seen["phase"], "done") << terminal_->call({"logs", alone}).text;
  EXPECT_EQ(seen["starts"], 1);
  seen = terminal_->wait_for(free, "done", 60);
  const std::string said = terminal_->call({"logs", free}).text;
  EXPECT_TRUE(has(said, "host1") && has(said, "host3") && !has(said, "[1] host2") && !has(said, "[0] host2")) << said;
}

/// The cable stays pulled: the host is named in time, and the job goes on with the two that are left.
TEST_F(ClusterJob, a_host_that_stays_away_is_left_out) {
  start("3");
  if (IsSkipped()) return;
  steps_ = 400;
  const std::string job =
      start_training("hosts = host1,host2,host3\nnodes = 3\nmin-nodes = 2\nname = smaller\nno-progress = 20\n");
  ASSERT_FALSE(HasFailure());
  ASSERT_TRUE(cluster_->act("cut host3"));
  const double cut = steady_seconds();
  Json seen = terminal_->wait(job, 60, [](const Json& now) { return now["phase"] != "running" || now["starts"] > 1; });
  EXPECT_LT(steady_seconds() - cut, 15) << terminal_->call({"logs", job}).text;
  seen = terminal_->wait_for(job, "done", 120);
  const std::string said = terminal_->call({"logs", job}).text;
  EXPECT_EQ(seen["phase"], "done") << said;
  EXPECT_TRUE(has(said, "root cause: host host3 is lost: no word of rank 2 for ")) << said;
  EXPECT_TRUE(has(said, "on 2 of 3 hosts: host1:1,host2:1")) << said;
  EXPECT_TRUE(has(said, "on 3 rank(s)") && has(said, "on 2 rank(s)")) << said;
  EXPECT_GT(seen["effective"], 0);
  EXPECT_LT(seen["effective"], 1);
  const MetricsHistory run = read_metrics(std::string(seen["run_folder"]) + "/metrics.jsonl");
  ASSERT_EQ(run.steps.size(), static_cast<std::size_t>(steps_));
  EXPECT_EQ(run.steps.back().step, steps_);
}

}  // namespace
}  // namespace trireme
