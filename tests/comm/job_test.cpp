// Jobs of real ranks that go wrong, seen from outside: the exit status, what is printed, and that it ends in seconds.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>

#include "core/base/error.hpp"

namespace trireme {
namespace {

struct Outcome {
  int status = 0;
  std::string text;
  double seconds = 0;
};

const std::string program = std::string(TRIREME_BINARY_DIR) + "/tests/tests_ranks";

/// Runs a shell command for at most 60 s (status 124 then).
Outcome run(const std::string& command) {
  const auto start = std::chrono::steady_clock::now();
  const std::string environment =
      "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 "
      "OMP_NUM_THREADS=1; ";
  FILE* pipe = ::popen((environment + "exec 2>&1 </dev/null; timeout -k 5 60 " + command).c_str(), "r");
  Outcome out;
  std::array<char, 4096> part{};
  while (pipe != nullptr) {
    const auto n = std::fread(part.data(), 1, part.size(), pipe);
    if (n == 0) break;
    out.text.append(part.data(), n);
  }
  const int status = pipe == nullptr ? -1 : ::pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

void expect_words(const Outcome& outcome, const std::vector<std::string>& words) {
  for (const auto& word : words)
    EXPECT_NE(outcome.text.find(word), std::string::npos) << word << " in\n" << outcome.text;
}

class JobTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(program)) GTEST_SKIP() << "skipped: " << program << " is not built";
    if (run("mpirun --version").status != 0) GTEST_SKIP() << "skipped: no mpirun";
  }
  static std::string job(int ranks, const std::string& scenario) {
    return fmt::format("mpirun -n {} {} --scenario={}", ranks, program, scenario);
  }
};

TEST_F(JobTest, ARankThatThrowsEndsTheJobWithItsCodeAndName) {
  for (const std::string scenario : {"throw", "throw-node"}) {
    const auto outcome = run(job(3, scenario));
    EXPECT_EQ(outcome.status, static_cast<int>(ExitCode::numeric)) << outcome.text;
    EXPECT_LT(outcome.seconds, 15);
    expect_words(outcome, {"rank 2 on host", "the loss is not finite"});
  }
}

TEST_F(JobTest, AKilledRankEndsTheJob) {
  for (const std::string scenario : {"kill", "kill-node"}) {
    const auto outcome = run(job(3, scenario));
    EXPECT_NE(outcome.status, 0) << outcome.text;
    EXPECT_NE(outcome.status, 124) << "it hung: " << outcome.text;
    EXPECT_LT(outcome.seconds, 15);
    expect_words(outcome, {"rank 2"});
  }
}

TEST_F(JobTest, DifferentOptionsByMpmdAndByEnvironment) {
  const auto one = program + " --scenario=agree --option=64", two = program + " --scenario=agree --option=32";
  const auto mpmd = run("mpirun -n 2 " + one + " : -n 1 " + two);
  EXPECT_EQ(mpmd.status, static_cast<int>(ExitCode::disagree)) << mpmd.text;
  expect_words(mpmd, {"batch is '64' on ranks 0-1 and '32' on rank 2"});
  const auto environment =
      run("mpirun -n 2 sh -c 'TRIREME_TEST_OPTION=$OMPI_COMM_WORLD_RANK exec " + program + " --scenario=agree'");
  EXPECT_EQ(environment.status, static_cast<int>(ExitCode::disagree)) << environment.text;
  expect_words(environment, {"batch is '0' on rank 0 and '1' on rank 1"});
  EXPECT_EQ(run("mpirun -n 2 " + one).status, 0);
}

TEST_F(JobTest, WorksWithoutMpirunButNotAsOneOfSeveralWorlds) {
  const auto alone = run("env -u SLURM_NTASKS -u SLURM_PROCID " + program + " --scenario=reduce");
  EXPECT_EQ(alone.status, 0) << alone.text;
  expect_words(alone, {"the sum is 1"});
  const auto lost = run("env SLURM_NTASKS=4 SLURM_PROCID=0 " + program + " --scenario=reduce");
  EXPECT_EQ(lost.status, static_cast<int>(ExitCode::usage)) << lost.text;
  expect_words(lost, {"SLURM_NTASKS=4", "srun --mpi=pmix"});
}

TEST_F(JobTest, ASmallSharedMemoryIsNamedAndTheSumsAreStillRight) {
  if (::geteuid() != 0 || run("unshare -m true").status != 0) GTEST_SKIP() << "skipped: not root";
  const auto outcome = run("unshare -m sh -c 'mount -t tmpfs -o size=1m tmpfs /dev/shm && " + job(2, "reduce") + "'");
  EXPECT_EQ(outcome.status, 0) << outcome.text;
  expect_words(outcome, {"warning: shared memory for the ranks of host", "/dev/shm is too small", "the sum is 3"});
  const auto roomy = run(job(2, "reduce"));
  expect_words(roomy, {"the sum is 3"});
  EXPECT_EQ(roomy.text.find("warning"), std::string::npos) << roomy.text;
}

}  // namespace
}  // namespace trireme
