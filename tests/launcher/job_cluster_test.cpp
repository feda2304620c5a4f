// Jobs across hosts, on a virtual cluster with real sshd, mpirun and Slurm: a training that is preempted, or loses a
// host, and goes on ends with the weights of one that nobody disturbed, bit for bit.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/io/file.hpp"
#include "datasets/shapes.hpp"
#include "launcher/job/child.hpp"
#include "launcher/run/metrics.hpp"
#include "tests/support/job_terminal.hpp"
#include "tests/support/virtual_cluster.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

const std::string folder = TRIREME_BINARY_DIR "/job_cluster_test-" + std::to_string(::getpid());
const std::string probe = TRIREME_BINARY_DIR "/tests/resume_probe";

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The steps of the whole training, and from which on it may be disturbed.
constexpr std::int64_t steps = 900, early = 60;

std::string training() {
  return "--data " + folder + "/shapes --epochs 100 --max-steps " + std::to_string(steps) +
         " --threads 1 --binding none --keep-last 1000";
}

class ClusterJob : public testing::Test {
 protected:
  void start(const std::string& options) {
    if (find_program("mpirun").empty()) GTEST_SKIP() << "skipped: no mpirun";
    fs::remove_all(folder);
    fs::create_directories(folder);
    cluster_ = std::make_unique<VirtualCluster>(options, folder);
    if (!cluster_->skipped().empty()) GTEST_SKIP() << "skipped: " << cluster_->skipped();
    generate_shapes({.out = folder + "/shapes", .name = "shapes", .count = 200, .test_count = 20, .size = 12});
    terminal_ = std::make_unique<JobTerminal>(folder, cluster_->on("head"));
  }
  void TearDown() override {
    terminal_.reset();
    cluster_.reset();
    if (!HasFailure()) fs::remove_all(folder);
  }

  std::string description(const std::string& more) const {
    return "program = " + probe + "\narguments = " + training() + "\ndirectory = " + folder +
           "\ncheckpoint-every = 50\ncores-per-rank = 1\nrestart-delay = 0.5s\n" + more;
  }
  /// Two ranks of this machine, undisturbed.
  void train_alone() const {
    const std::string out = folder + "/alone.log";
    const std::string trireme = TRIREME_BINARY_DIR "/launcher/trireme";
    const std::string command = trireme + " launch -n 2 --threads 1 --log-dir " + folder + "/alone-logs -- " + probe +
                                " " + training() + " --checkpoint-every 50 --run-dir " + folder + "/alone >" + out +
                                " 2>&1";
    ASSERT_EQ(std::system(command.c_str()), 0) << read_file(out);
  }
  int difference(const std::string& a, const std::string& b) const {
    return terminal_->call({"checkpoint", "diff", a, b, "--tensors"}).code;
  }
  /// The same weights and moments, and each step once.
  void expect_same(const std::string& run) const {
    train_alone();
    EXPECT_EQ(difference(folder + "/alone", run), 0);
    // What the comparison is worth: another step's weights differ.
    EXPECT_EQ(difference(folder + "/alone/checkpoints/step_00000050", run), 1);
    const MetricsHistory alone = read_metrics(folder + "/alone/metrics.jsonl"),
                         job = read_metrics(run + "/metrics.jsonl");
    ASSERT_EQ(job.steps.size(), static_cast<std::size_t>(steps));
    ASSERT_EQ(alone.steps.size(), job.steps.size());
    for (std::size_t k = 0; k < job.steps.size(); ++k) {
      ASSERT_EQ(job.steps[k].step, alone.steps[k].step);
      ASSERT_EQ(job.steps[k].loss, alone.steps[k].loss) << "step " << job.steps[k].step;
    }
  }
  static bool under_way(const Json& status) { return status.contains("step") && status["step"] >= early; }
  static bool has_ended(const Json& status) { return is_final_phase(status["phase"]); }

  std::unique_ptr<VirtualCluster> cluster_;
  std::unique_ptr<JobTerminal> terminal_;
};

TEST_F(ClusterJob, slurm_preempts_requeues_and_resumes) {
  start("2 --slurm");
  if (IsSkipped()) return;
  const std::string job =
      terminal_->submit(description("backend = slurm\nnodes = 2\nname = it's $(a) 100%j\ntime-limit = 10m\n"));
  Json seen = terminal_->wait(job, 60, [](const Json& now) { return under_way(now) || has_ended(now); });
  ASSERT_TRUE(under_way(seen)) << seen.dump(1) << terminal_->call({"logs", job}).text;
  const std::string id = seen["slurm_id"], run = seen["run_folder"];
  const Said shown = terminal_->run({"timeout", "20", "scontrol", "show", "job", id});
  EXPECT_TRUE(has(shown.text, "JobName=it's $(a) 100%j\n")) << shown.text;
  // What Slurm does at preemption, and some time before the end of a job.
  ASSERT_EQ(terminal_->run({"timeout", "20", "scancel", "--batch", "--signal=USR1", id}).code, 0);
  seen = terminal_->wait(job, 60, [](const Json& now) { return now["phase"] == "waiting" || has_ended(now); });
  ASSERT_EQ(seen["phase"], "waiting") << seen.dump(1) << terminal_->call({"logs", job}).text;
  EXPECT_TRUE(has(seen["reason"], "Slurm: ")) << seen["reason"];
  EXPECT_LT(seen["step"], steps);
  // Slurm starts it by itself two minutes later. Not within the second of its requeue: slurmd takes such a start for
  // the one that it has just ended ("already killed, do not launch"), and the job is lost.
  ASSERT_EQ(terminal_->run({"timeout", "20", "scontrol", "update", "JobId=" + id, "StartTime=now+3"}).code, 0);
  seen = terminal_->wait_for(job, "done", 90);
  EXPECT_EQ(seen["starts"], 2);
  expect_same(run);
}

TEST_F(ClusterJob, srun_starts_the_ranks_where_the_site_wants_that) {
  start("2 --slurm");
  if (IsSkipped()) return;
  const std::string job = terminal_->submit(description("backend = slurm\nnodes = 2\nstarter = srun\nname = direct\n"));
  const Json seen = terminal_->wait_for(job, "done", 90);
  EXPECT_TRUE(has(terminal_->call({"logs", job}).text, "on 2 rank(s)")) << terminal_->call({"logs", job}).text;
  expect_same(seen["run_folder"]);
}

TEST_F(ClusterJob, a_host_that_is_cut_off_costs_a_restart) {
  start("2");
  if (IsSkipped()) return;
  const std::string job =
      terminal_->submit(description("hosts = host1,host2\nnodes = 2\nname = cut\nno-progress = 20\n"));
  Json seen = terminal_->wait(job, 60, [](const Json& now) { return under_way(now) || has_ended(now); });
  ASSERT_TRUE(under_way(seen)) << seen.dump(1) << terminal_->call({"logs", job}).text;
  ASSERT_TRUE(cluster_->act("cut host2"));
  seen = terminal_->wait(
      job, 60, [](const Json& now) { return now["phase"] == "pausing" || now["starts"] > 1 || has_ended(now); });
  EXPECT_FALSE(has_ended(seen)) << seen.dump(1) << terminal_->call({"logs", job}).text;
  ASSERT_TRUE(cluster_->act("heal host2"));
  seen = terminal_->wait_for(job, "done", 120);
  EXPECT_GE(seen["starts"], 2);
  expect_same(seen["run_folder"]);
}

/// The cable stays pulled: the host is named in time, and the job goes on with the two that are left.
TEST_F(ClusterJob, a_host_that_stays_away_is_left_out) {
  start("3");
  if (IsSkipped()) return;
  constexpr std::int64_t fewer = 400;
  std::string text =
      description("hosts = host1,host2,host3\nnodes = 3\nmin-nodes = 2\nname = smaller\nno-progress = 20\n");
  text.replace(text.find("--max-steps 900"), 15, "--max-steps " + std::to_string(fewer));
  const std::string job = terminal_->submit(text);
  Json seen = terminal_->wait(job, 60, [](const Json& now) { return under_way(now) || has_ended(now); });
  ASSERT_TRUE(under_way(seen)) << seen.dump(1) << terminal_->call({"logs", job}).text;
  ASSERT_TRUE(cluster_->act("cut host3"));
  const double cut = steady_seconds();
  seen = terminal_->wait(job, 60, [](const Json& now) { return now["phase"] != "running" || now["starts"] > 1; });
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
  ASSERT_EQ(run.steps.size(), static_cast<std::size_t>(fewer));
  EXPECT_EQ(run.steps.back().step, fewer);
}

}  // namespace
}  // namespace trireme
