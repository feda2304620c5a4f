// Ranks that hang, with real jobs: who is to blame is named in time, the job ends, and healthy jobs are left alone.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "datasets/shapes.hpp"
#include "launcher/job/child.hpp"
#include "tests/support/job_terminal.hpp"
#include "tests/support/messages.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

const std::string watch_folder = TRIREME_BINARY_DIR "/watch_test-" + std::to_string(::getpid());

struct Watched {
  int code = -1;
  std::string text = {};     // both outputs
  double blamed_after = -1;  // seconds from when a rank went wrong to the root cause; negative: never
  double ended_after = -1;   // to the end
};

class WatchedJob : public testing::Test {
 protected:
  void SetUp() override {
    if (find_program("mpirun").empty()) GTEST_SKIP() << "skipped: no mpirun";
    fs::create_directories(watch_folder);
  }
  void TearDown() override { fs::remove_all(watch_folder); }

  /// `launch` holds options of trireme launch, `program` the words of the program.
  Watched run(const std::string& launch, const std::string& program) const {
    const std::string out = watch_folder + "/out";
    const std::string command = shell_quoted({TRIREME_BINARY_DIR "/launcher/trireme"}) +
                                " launch -n 2 --threads 1 --log-dir " + watch_folder + "/logs " + launch + " -- " +
                                program + " >" + out + " 2>&1";
    double wrong = 0, blamed = 0;
    Child child({.command = {"/bin/sh", "-c", command}});
    while (child.poll_status() == -1) {
      ::usleep(10'000);
      if (wrong == 0 && fs::exists(mark())) wrong = steady_seconds();
      if (blamed == 0 && fs::exists(out) && has(read_file(out), "root cause")) blamed = steady_seconds();
    }
    Watched seen{.code = WEXITSTATUS(child.poll_status()), .text = read_file(out)};
    if (wrong > 0) seen.ended_after = steady_seconds() - wrong;
    if (wrong > 0 && blamed > 0) seen.blamed_after = blamed - wrong;
    return seen;
  }
  static std::string mark() { return watch_folder + "/mark"; }
  static std::string probe() { return TRIREME_BINARY_DIR "/tests/watch_probe --mark " + mark(); }
  Json hang() const { return Json::parse(read_file(watch_folder + "/logs/hang.json")); }
};

class StoppedIn : public WatchedJob, public testing::WithParamInterface<const char*> {};

TEST_P(StoppedIn, is_named_in_time) {
  if (IsSkipped()) return;
  const std::string phase = GetParam();
  const Watched job = run("--hang-timeout 1 --checkpoint-timeout 1", probe() + " --stop " + phase);
  EXPECT_EQ(job.code, 11) << job.text;
  EXPECT_TRUE(has(job.text, "root cause: rank 1 on ")) << job.text;
  EXPECT_TRUE(has(job.text, "is stopped by a signal such as SIGSTOP")) << job.text;
  EXPECT_TRUE(has(job.text, "in phase " + phase + " of step 5")) << job.text;
  EXPECT_TRUE(has(job.text, phase == std::string("checkpoint") ? "barrier number " : "all_reduce number ")) << job.text;
  EXPECT_GT(job.blamed_after, 0.9) << job.text;
  EXPECT_LT(job.blamed_after, 1 + 3) << job.text;
  EXPECT_LT(job.ended_after, 12) << job.text;
  const Json record = hang();
  EXPECT_EQ(record["verdict"]["kind"], "stopped");
  ASSERT_EQ(record["ranks"].size(), 2u);
  for (const Json& rank : record["ranks"]) {
    EXPECT_GE(rank["calls_kept"].size(), 5u);
    bool named = false;
    for (const Json& thread : rank["threads"])
      for (const std::string frame : thread["stack"]) named = named || has(frame, "main");
    EXPECT_TRUE(named) << "a stack with main, also of the rank that is stopped:\n" << rank["threads"].dump(1);
  }
}

INSTANTIATE_TEST_SUITE_P(Phases, StoppedIn, testing::Values("data", "backward", "communication", "checkpoint"));

TEST_F(WatchedJob, a_rank_that_computes_for_ever_is_named) {
  const Watched job = run("--hang-timeout 1", probe() + " --spin forward");
  EXPECT_EQ(job.code, 11) << job.text;
  EXPECT_TRUE(has(job.text, "root cause: rank 1 on ")) << job.text;
  EXPECT_TRUE(has(job.text, "is stuck: no sign of life for ")) << job.text;
  EXPECT_TRUE(has(job.text, "its main thread computes in phase forward of step 5")) << job.text;
  EXPECT_TRUE(has(job.text, "; rank 0 waits in all_reduce number ")) << job.text;
}

TEST_F(WatchedJob, a_slow_rank_is_named_and_left_alone) {
  const Watched job = run("--hang-timeout 2", probe() + " --slow 60 --steps 120");
  EXPECT_EQ(job.code, 0) << job.text;
  EXPECT_TRUE(has(job.text, "straggler: rank 1 on ")) << job.text;
  EXPECT_FALSE(has(job.text, "root cause")) << job.text;
}

/// Ranks that wait in different communicators: no rank can see that alone, the launcher does.
TEST_F(WatchedJob, checked_calls_of_different_communicators_are_named_within_five_seconds) {
  const Watched job = run("", probe() + " --check-collectives --steps 5 --calls other-communicator");
  EXPECT_EQ(job.code, 3) << job.text;
  EXPECT_TRUE(has(job.text, "root cause: the ranks wait for each other in different calls: ")) << job.text;
  EXPECT_TRUE(has(job.text, "all_reduce number ") && has(job.text, " of world/part (f32 x 8)")) << job.text;
  EXPECT_GT(job.blamed_after, 0) << job.text;
  EXPECT_LT(job.blamed_after, 5) << job.text;
}

TEST_F(WatchedJob, checked_calls_end_the_job_with_both_calls_named) {
  const Watched job = run("", probe() + " --check-collectives --steps 5 --calls other-call");
  EXPECT_EQ(job.code, 3) << job.text;
  EXPECT_TRUE(has(job.text, "the ranks make different calls on world: rank 0 on ")) << job.text;
  EXPECT_TRUE(has(job.text, "all_reduce number ") && has(job.text, "broadcast number ")) << job.text;
  EXPECT_GT(job.ended_after, 0) << job.text;
  EXPECT_LT(job.ended_after, 5) << job.text;
}

TEST_F(WatchedJob, unchecked_calls_that_differ_are_explained_by_the_record) {
  const Watched job = run("--hang-timeout 1", probe() + " --steps 5 --calls other-communicator");
  EXPECT_EQ(job.code, 11) << job.text;
  EXPECT_TRUE(has(job.text, "root cause: the ranks wait for each other in different calls: ")) << job.text;
  EXPECT_TRUE(has(job.text, "rank 0 on ") && has(job.text, "rank 1 on ")) << job.text;
  EXPECT_EQ(hang()["verdict"]["kind"], "mismatch");
}

/// TRIREME_WATCH_RUNS of them (make soak), with time-outs far below the default ones.
TEST_F(WatchedJob, healthy_trainings_are_left_alone) {
  generate_shapes({.out = watch_folder + "/shapes", .name = "shapes", .count = 200, .test_count = 20, .size = 12});
  const char* wanted = std::getenv("TRIREME_WATCH_RUNS");
  const int runs = wanted == nullptr ? 2 : std::atoi(wanted);
  for (int k = 0; k < runs; ++k) {
    const Watched job =
        run("--hang-timeout 5 --checkpoint-timeout 10 --validation-timeout 10 --start-timeout 20",
            std::string(TRIREME_BINARY_DIR "/tests/resume_probe --data ") + watch_folder +
                "/shapes --epochs 100 --max-steps 200 --threads 1 --binding none --checkpoint-every 20" +
                " --run-dir " + watch_folder + "/run-" + std::to_string(k));
    EXPECT_EQ(job.code, 0) << job.text;
    EXPECT_FALSE(has(job.text, "root cause")) << job.text;
  }
}

}  // namespace
}  // namespace trireme
