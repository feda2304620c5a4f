// What tests of jobs on a virtual cluster share: the cluster, a terminal on its login host, and a small training whose
// end can be compared with that of one that nobody disturbed.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "core/io/file.hpp"
#include "datasets/shapes.hpp"
#include "launcher/job/child.hpp"
#include "launcher/run/metrics.hpp"
#include "tests/launcher/job_processes.hpp"
#include "tests/support/job_terminal.hpp"
#include "tests/support/virtual_cluster.hpp"

namespace trireme {

inline const std::string cluster_folder = TRIREME_BINARY_DIR "/job_cluster_test-" + std::to_string(::getpid());
inline const std::string probe = TRIREME_BINARY_DIR "/tests/resume_probe";

/// From this step on it may be disturbed.
inline constexpr std::int64_t early = 60;

class ClusterJob : public testing::Test {
 protected:
  void start(const std::string& options) {
    if (find_program("mpirun").empty()) GTEST_SKIP() << "skipped: no mpirun";
    std::filesystem::remove_all(cluster_folder);
    std::filesystem::create_directories(cluster_folder);
    cluster_ = std::make_unique<VirtualCluster>(options, cluster_folder);
    if (!cluster_->skipped().empty()) GTEST_SKIP() << "skipped: " << cluster_->skipped();
    generate_shapes({.out = cluster_folder + "/shapes", .name = "shapes", .count = 200, .test_count = 20, .size = 12});
    terminal_ = std::make_unique<JobTerminal>(cluster_folder, cluster_->on("head"));
  }
  void TearDown() override {
    terminal_.reset();
    cluster_.reset();
    if (!HasFailure()) std::filesystem::remove_all(cluster_folder);
  }

  std::string training() const {
    return "--data " + cluster_folder + "/shapes --epochs 1000 --max-steps " + std::to_string(steps_) +
           " --threads 1 --binding none --keep-last 1000";
  }
  std::string description(const std::string& more, int checkpoint_every = 50) const {
    return "program = " + probe + "\narguments = " + training() + " --slow " + std::to_string(slow_) +
           "\ndirectory = " + cluster_folder + "\ncheckpoint-every = " + std::to_string(checkpoint_every) +
           "\ncores-per-rank = 1\nrestart-delay = 0.5s\n" + more;
  }
  /// Two ranks of this machine, undisturbed.
  void train_alone(int checkpoint_every) const {
    if (std::filesystem::exists(cluster_folder + "/alone")) return;
    const std::string out = cluster_folder + "/alone.log";
    const std::string trireme = TRIREME_BINARY_DIR "/launcher/trireme";
    const std::string command = trireme + " launch -n 2 --threads 1 --log-dir " + cluster_folder + "/alone-logs -- " +
                                probe + " " + training() + " --checkpoint-every " + std::to_string(checkpoint_every) +
                                " --run-dir " + cluster_folder + "/alone >" + out + " 2>&1";
    ASSERT_EQ(std::system(command.c_str()), 0) << read_file(out);
  }
  int difference(const std::string& a, const std::string& b) const {
    return terminal_->call({"checkpoint", "diff", a, b, "--tensors"}).code;
  }
  /// The same weights and moments, and each step once.
  void expect_same(const std::string& run, int checkpoint_every = 50) const {
    train_alone(checkpoint_every);
    EXPECT_EQ(difference(cluster_folder + "/alone", run), 0);
    // What the comparison is worth: another step's weights differ.
    EXPECT_EQ(difference(cluster_folder + "/alone/checkpoints/step_00000100", run), 1);
    const MetricsHistory alone = read_metrics(cluster_folder + "/alone/metrics.jsonl"),
                         job = read_metrics(run + "/metrics.jsonl");
    ASSERT_EQ(job.steps.size(), static_cast<std::size_t>(steps_));
    ASSERT_EQ(alone.steps.size(), job.steps.size());
    for (std::size_t k = 0; k < job.steps.size(); ++k) {
      ASSERT_EQ(job.steps[k].step, alone.steps[k].step);
      ASSERT_EQ(job.steps[k].loss, alone.steps[k].loss) << "step " << job.steps[k].step;
    }
  }
  /// Submits it and waits until it may be disturbed.
  std::string start_training(const std::string& more) const {
    const std::string job = terminal_->submit(description(more));
    const Json seen = terminal_->wait(job, 60, [](const Json& now) { return under_way(now) || has_ended(now); });
    EXPECT_TRUE(under_way(seen)) << seen.dump(1) << terminal_->call({"logs", job}).text;
    return job;
  }
  static bool under_way(const Json& status) { return status.contains("step") && status["step"] >= early; }
  static bool has_ended(const Json& status) { return is_final_phase(status["phase"]); }

  std::int64_t steps_ = 900;  // of the whole training
  std::int64_t slow_ = 0;     // milliseconds that each of them takes longer in the job
  std::unique_ptr<VirtualCluster> cluster_;
  std::unique_ptr<JobTerminal> terminal_;
};

}  // namespace trireme
