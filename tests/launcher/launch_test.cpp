// `trireme launch` with real mpirun jobs of shell programs: whole lines, whole arguments, and the right one to blame.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/frames.hpp"
#include "launcher/job/launch_plan.hpp"
#include "launcher/job/rank_end.hpp"
#include "tests/support/messages.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

struct Finished {
  int code;
  std::string output, error;
};

class Launch : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("trireme-launch-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string trireme() { return std::string(TRIREME_BINARY_DIR) + "/launcher/trireme"; }
  std::string logs() const { return (folder_ / "logs").string(); }

  Finished run(const std::string& shell_command) const {
    const std::string out = (folder_ / "out").string(), err = (folder_ / "err").string();
    const int status = std::system(fmt_command(shell_command, out, err).c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out), read_file(err)};
  }
  Finished launch(int ranks, const std::string& script, const std::string& options = "") const {
    return run(shell_quoted({trireme(), "launch", "-n", std::to_string(ranks), "--log-dir", logs()}) + " " + options +
               " -- " + shell_quoted({"/bin/sh", "-c", script}));
  }
  static std::string fmt_command(const std::string& command, const std::string& out, const std::string& err) {
    return "( " + command + " ) >" + shell_quoted({out}) + " 2>" + shell_quoted({err}) + " </dev/null";
  }
  fs::path folder_;
};

class LaunchedJob : public Launch {
 protected:
  void SetUp() override {
    Launch::SetUp();
    if (find_program("mpirun").empty()) GTEST_SKIP() << "skipped: no mpirun";
  }
};

/// Processes whose command line holds `mark`, as "sleep 61.PID" does.
std::size_t running(const std::string& mark) {
  std::size_t found = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    const std::string line(std::istreambuf_iterator<char>(file), {});
    if (line.starts_with("sleep") && has(line, mark)) ++found;
  }
  return found;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST_F(LaunchedJob, prefixes_lines_and_keeps_logs) {
  const Finished job = launch(2, "echo out $OMPI_COMM_WORLD_RANK; echo err >&2; printf 'no end'");
  EXPECT_EQ(job.code, 0) << job.error;
  for (const char* line : {"[0] out 0\n", "[1] out 1\n", "[0] no end\n", "[1] no end\n"}) {
    EXPECT_EQ(count_of(job.output, line), 1u) << job.output;
  }
  EXPECT_TRUE(has(job.error, "[0] err\n") && has(job.error, "[1] err\n")) << job.error;
  const std::string log = read_file(logs() + "/rank-1.log");
  EXPECT_TRUE(has(log, "out 1\n") && has(log, "err\n") && has(log, "no end\n")) << log;
}

TEST_F(LaunchedJob, one_rank_has_no_prefix) { EXPECT_EQ(launch(1, "echo hello").output, "hello\n"); }

TEST_F(LaunchedJob, many_and_long_lines_arrive_whole) {
  const Finished job =
      launch(3,
             "i=0; while [ $i -lt 2000 ]; do echo \"line $i of $OMPI_COMM_WORLD_RANK end\"; i=$((i+1)); "
             "done; head -c 50000 /dev/zero | tr '\\0' x; echo");
  ASSERT_EQ(job.code, 0) << job.error;
  std::size_t begin = 0, lines = 0, long_lines = 0;
  for (std::size_t end = job.output.find('\n'); end != std::string::npos; end = job.output.find('\n', begin)) {
    const std::string line = job.output.substr(begin, end - begin);
    begin = end + 1;
    ++lines;
    ASSERT_TRUE(line.starts_with("[")) << line;
    if (line.size() == 50004) ++long_lines;
    if (line.size() < 100) {
      ASSERT_TRUE(line.ends_with(" of " + line.substr(1, 1) + " end")) << line;
    }
  }
  EXPECT_EQ(lines, 3u * 2001u);
  EXPECT_EQ(long_lines, 3u);
}

TEST_F(LaunchedJob, arguments_reach_the_program_intact) {
  const std::vector<std::string> words = {"a b", "it's",        "say \"hi\"", "$HOME", "*",
                                          "",    "back\\slash", "--ranks",    "--"};
  std::vector<std::string> command = {trireme(), "launch",          "-n",    "1", "--log-dir", logs(),
                                      "--",      "/usr/bin/printf", "<%s>\n"};
  command.insert(command.end(), words.begin(), words.end());
  std::string wanted;
  for (const std::string& word : words) wanted += "<" + word + ">\n";
  EXPECT_EQ(run(shell_quoted(command)).output, wanted);
}

TEST_F(LaunchedJob, exit_code_names_the_first_to_fail) {
  const Finished job = launch(3,
                              "if [ $OMPI_COMM_WORLD_RANK = 1 ]; then echo 'error: disk is full' >&2; exit 14; fi; "
                              "exec sleep 60");
  EXPECT_EQ(job.code, 14);
  const std::size_t closing = job.error.find("trireme launch: root cause: rank 1 on ");
  ASSERT_NE(closing, std::string::npos) << job.error;
  EXPECT_TRUE(has(job.error, " exited with code 14 (storage): error: disk is full\n")) << job.error;
  EXPECT_EQ(count_of(job.error, "root cause"), 1u);
  EXPECT_FALSE(has(job.error, "Primary job")) << job.error;
}

TEST_F(LaunchedJob, killed_rank_is_named_and_nothing_remains) {
  const std::string mark = "61." + std::to_string(::getpid());
  const Finished job = launch(2, "sleep " + mark + " & if [ $OMPI_COMM_WORLD_RANK = 1 ]; then kill -SEGV $$; fi; wait");
  EXPECT_EQ(job.code, 128 + SIGSEGV);
  EXPECT_TRUE(has(job.error, "root cause: rank 1 on ") && has(job.error, "was killed by SIGSEGV (11)")) << job.error;
  EXPECT_TRUE(has(job.error, "the same command is started again, with the same --run-dir")) << job.error;
  EXPECT_EQ(running(mark), 0u);
}

/// Killed from outside, a rank has not said why: a remark of its own must not look like the reason.
TEST_F(LaunchedJob, what_a_killed_rank_wrote_last_is_not_taken_for_the_cause) {
  const Finished remark = launch(1, "echo 'no GPU: using CPU' >&2; kill -KILL $$");
  EXPECT_TRUE(has(remark.error, "was killed by SIGKILL (9): its last words were: no GPU: using CPU\n")) << remark.error;
  const Finished error = launch(1, "echo 'error: disk is full' >&2; kill -ABRT $$");
  EXPECT_TRUE(has(error.error, "was killed by SIGABRT (6): error: disk is full\n")) << error.error;
}

TEST_F(LaunchedJob, time_out_ends_ranks_that_ignore_requests) {
  const std::string mark = "62." + std::to_string(::getpid());
  const Finished job = launch(2, "trap '' TERM; sleep " + mark, "--timeout 1 --grace 1");
  EXPECT_EQ(job.code, 11);
  EXPECT_TRUE(has(job.error, "did not end within 1 s")) << job.error;
  EXPECT_EQ(running(mark), 0u);
}

TEST_F(Launch, processes_left_behind_would_be_seen) {
  const std::string mark = "65." + std::to_string(::getpid());
  Child child({.command = {"sleep", mark}, .group = ChildGroup::own, .death_signal = SIGKILL});
  EXPECT_EQ(running(mark), 1u);
  ::kill(child.id(), SIGKILL);
  while (child.poll_status() == -1) ::usleep(1000);
  EXPECT_EQ(running(mark), 0u);
}

/// Starts a job of two ranks that sleep under `mark`, sends `signal` to the launcher once both do, gives its exit code.
int signalled_job(const std::vector<std::string>& launch, const std::string& mark, int signal) {
  std::vector<std::string> command = launch;
  command.insert(command.end(), {"--", "/bin/sh", "-c", "sleep " + mark + "; echo woken"});
  Child child({.command = command, .group = ChildGroup::own, .death_signal = SIGKILL});
  for (int tries = 0; tries < 3000 && running(mark) < 2; ++tries) ::usleep(10000);
  EXPECT_EQ(running(mark), 2u);
  ::kill(child.id(), signal);
  int status = 0;
  ::waitpid(child.id(), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_F(LaunchedJob, interrupt_ends_all_ranks) {
  const std::string mark = "63." + std::to_string(::getpid());
  EXPECT_EQ(signalled_job({trireme(), "launch", "-n", "2", "--log-dir", logs()}, mark, SIGINT), 128 + SIGINT);
  EXPECT_EQ(running(mark), 0u);
}

TEST_F(LaunchedJob, killed_launcher_leaves_nothing_behind) {
  const std::string mark = "64." + std::to_string(::getpid());
  EXPECT_EQ(signalled_job({trireme(), "launch", "-n", "2", "--log-dir", logs()}, mark, SIGKILL), -SIGKILL);
  // mpirun gives the ranks a second or two; the loop ends as soon as they are gone.
  for (int tries = 0; tries < 150 && running(mark) > 0; ++tries) ::usleep(100000);
  EXPECT_EQ(running(mark), 0u);
}

TEST_F(Launch, dry_run_prints_and_starts_nothing) {
  const Finished job = run("OMP_NUM_THREADS=3 " + shell_quoted({trireme(), "launch", "-n", "2", "--dry-run",
                                                                "--log-dir", logs(), "--", "/bin/echo", "a b"}));
  EXPECT_EQ(job.code, 0) << job.error;
  EXPECT_TRUE(job.output.starts_with("mpirun -n 2 ")) << job.output;
  EXPECT_TRUE(has(job.output, "-x OMP_NUM_THREADS=3 ")) << job.output;
  EXPECT_TRUE(job.output.ends_with("rank-exec --log-dir " + logs() + " -- /bin/echo 'a b'\n")) << job.output;
  EXPECT_FALSE(fs::exists(logs()));
}

TEST_F(Launch, mistakes_are_told_before_anything_starts) {
  const std::string start = shell_quoted({trireme(), "launch"});
  Finished job = run(start + " -n 2 -- ./no-such-program");
  EXPECT_EQ(job.code, 2);
  EXPECT_TRUE(has(job.error, "cannot find the program './no-such-program'")) << job.error;
  job = run(start + " -n 2 /bin/true");
  EXPECT_EQ(job.code, 2);
  EXPECT_TRUE(has(job.error, "-- PROGRAM")) << job.error;
  job = run(start + " -n 0 -- /bin/true");
  EXPECT_EQ(job.code, 2);
  EXPECT_TRUE(has(job.error, "'ranks'") && has(job.error, "from 1 to")) << job.error;
  job = run("PATH=/nonexistent " + start + " -n 1 -- /bin/true");
  EXPECT_EQ(job.code, 2);
  EXPECT_TRUE(has(job.error, "apt-get install openmpi-bin")) << job.error;
}

TEST_F(Launch, the_command_itself) {
  Finished job = run(shell_quoted({trireme(), "lunch"}));
  EXPECT_EQ(job.code, 2);
  EXPECT_TRUE(has(job.error, "did you mean 'launch'?")) << job.error;
  job = run(shell_quoted({trireme(), "--version"}));
  EXPECT_EQ(job.code, 0);
  for (const char* part : {"trireme ", "cuda", "MPI", "oneDNN", "HDF5", "fmt"}) EXPECT_TRUE(has(job.output, part));
  job = run("sh -c '" + trireme() + " --help; echo code $? >&2' | head -1");
  EXPECT_EQ(job.error, "code 0\n");
  job = run(shell_quoted({trireme(), "help", "launch"}));
  EXPECT_EQ(job.code, 0);
  EXPECT_TRUE(has(job.output, "--log-dir")) << job.output;
}

LaunchPlan plan(LaunchSettings settings, const LaunchFacts& facts) {
  settings.log_folder = "/l";
  settings.program = {"p"};
  return plan_launch(settings, facts);
}

TEST(LaunchPlan, binds_and_divides_cores) {
  LaunchPlan two = plan({.ranks = 2}, {.cores = 8});
  EXPECT_EQ(two.cores_per_rank, 4);
  EXPECT_EQ(two.threads, "4");
  EXPECT_TRUE(has(shell_quoted(two.command), "--bind-to core --map-by slot:PE=4"));
  EXPECT_FALSE(has(shell_quoted(two.command), "allow-run-as-root"));
  LaunchPlan crowd = plan({.ranks = 3}, {.cores = 2, .root = true});
  EXPECT_EQ(crowd.threads, "1");
  EXPECT_TRUE(has(shell_quoted(crowd.command), "--allow-run-as-root --bind-to none --oversubscribe"));
  EXPECT_EQ(crowd.warnings.size(), 1u);
  LaunchPlan shared = plan({.ranks = 2, .host_slots = 4}, {.cores = 8});
  EXPECT_EQ(shared.cores_per_rank, 0) << "other jobs of the host would bind the same cores";
  EXPECT_EQ(shared.threads, "2");
  EXPECT_TRUE(shared.warnings.empty());
  LaunchPlan greedy = plan({.ranks = 2, .threads = 8}, {.cores = 8});
  EXPECT_EQ(greedy.threads, "8");
  ASSERT_EQ(greedy.warnings.size(), 1u);
  EXPECT_TRUE(has(greedy.warnings[0], "8 threads per rank on 4 bound core(s)"));
}

TEST(LaunchPlan, respects_what_the_user_set) {
  const auto text = shell_quoted(
      plan({.ranks = 1},
           {.cores = 4,
            .environment = {{"OMP_NUM_THREADS", "2"}, {"OMP_WAIT_POLICY", "ACTIVE"}, {"TRIREME_EPOCHS", "3"}}})
          .command);
  EXPECT_TRUE(has(text, "-x OMP_NUM_THREADS=2"));
  EXPECT_TRUE(has(text, "-x OMP_WAIT_POLICY=ACTIVE"));
  EXPECT_FALSE(has(text, "PASSIVE"));
  EXPECT_TRUE(has(text, "-x TRIREME_EPOCHS=3"));
}

TEST(LaunchPlan, shares_ranks_among_hosts) {
  LaunchPlan even = plan({.ranks = 4, .hosts = "a,b"}, {.cores = 8});
  EXPECT_EQ(even.ranks_per_host, 2);
  EXPECT_TRUE(has(shell_quoted(even.command), "--host a:2,b:2"));
  EXPECT_EQ(plan({.ranks = 4, .hosts = "a:3,b:1"}, {.cores = 9}).cores_per_rank, 3);
  LaunchPlan file = plan({.ranks = 6, .hostfile = "h"}, {.cores = 8, .hostfile_text = "a slots=4 # x\n\nb slots=4\n"});
  EXPECT_EQ(file.ranks_per_host, 4);
  EXPECT_TRUE(has(shell_quoted(file.command), "--host a:4,b:4 "));
  LaunchPlan one = plan({.ranks = 4, .hosts = "a,b", .filter = {.exclude = "a"}}, {.cores = 8});
  EXPECT_TRUE(has(shell_quoted(one.command), "--host b:4 "));
  LaunchPlan ipv6 = plan({.ranks = 2, .hosts = "a,[::1]"}, {.cores = 8});
  EXPECT_TRUE(has(shell_quoted(ipv6.command), "--hostfile /l/hostfile "));
  EXPECT_EQ(ipv6.hostfile, "a slots=1\n::1 slots=1\n");
}

TEST(LaunchPlan, named_variables_reach_the_ranks_without_their_values) {
  const LaunchFacts facts{.environment = {{"TRIREME_TOKEN", "secret"}, {"TRIREME_EPOCHS", "3"}}};
  const auto words = shell_quoted(plan({.environment = "HF_TOKEN,TRIREME_TOKEN"}, facts).command);
  EXPECT_TRUE(has(words, "-x HF_TOKEN -x TRIREME_TOKEN ")) << words;
  EXPECT_TRUE(has(words, "-x TRIREME_EPOCHS=3 ")) << words;
  EXPECT_FALSE(has(words, "secret")) << words;
}

TEST(LaunchPlan, srun_where_it_is_asked_for) {
  const auto words =
      plan({.ranks = 4, .ranks_per_node = 2, .threads = 3, .starter = RankStarter::srun}, {.cores = 8}).command;
  const auto text = shell_quoted(words);
  EXPECT_TRUE(text.starts_with("srun --mpi=pmix --kill-on-bad-exit=1 ")) << text;
  EXPECT_TRUE(has(text, " -n 4 --ntasks-per-node=2 --cpus-per-task=3 env OMP_NUM_THREADS=3 ")) << text;
  EXPECT_TRUE(has(text, "rank-exec --log-dir /l --frame-bytes 900 -- p")) << text;
}

TEST(RootCause, is_the_first_by_itself) {
  const RankEnd fine{.rank = 0, .ended = true}, late{.rank = 1, .ended = true, .exit_code = 12, .time = 20},
      first{.rank = 2, .ended = true, .signal = 9, .time = 10},
      told{.rank = 3, .ended = true, .signal = 15, .time = 5, .told_to_stop = true}, lost{.rank = 4};
  EXPECT_EQ(root_cause({fine, late, first, told, lost})->rank, 2);
  EXPECT_EQ(root_cause({fine, told, lost})->rank, 4);
  EXPECT_EQ(root_cause({fine, told})->rank, 3);
  EXPECT_FALSE(root_cause({fine}));
  const RankEnd aborted{.rank = 5, .ended = true, .exit_code = 7, .time = 9, .told_to_stop = true};
  EXPECT_EQ(root_cause({told, lost, aborted})->rank, 5);
}

TEST(RootCause, saving_is_none) {
  const RankEnd fine{.rank = 0, .ended = true}, one_saved{.rank = 1, .ended = true, .exit_code = 10, .time = 10},
      told{.rank = 2, .ended = true, .signal = 15, .time = 11, .told_to_stop = true}, lost{.rank = 3},
      told_to_leave{.rank = 4, .ended = true, .exit_code = 12, .time = 12, .told_to_stop = true},
      disk{.rank = 5, .ended = true, .exit_code = 14, .time = 20};
  EXPECT_TRUE(saved({one_saved}));
  EXPECT_TRUE(saved({fine, one_saved, told, lost, told_to_leave}));
  EXPECT_FALSE(saved({fine}));
  EXPECT_FALSE(saved({fine, told, lost}));
  EXPECT_FALSE(saved({one_saved, disk}));
  EXPECT_EQ(root_cause({one_saved, disk, told})->rank, 5);
}

TEST(RootCause, record_survives_odd_bytes) {
  const RankEnd end{.rank = 3, .host = "h", .ended = true, .exit_code = 7, .time = 1.5, .last_error = "a\xff\"b\n"};
  const auto back = rank_end_from_json(to_json_text(end));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->rank, 3);
  EXPECT_EQ(back->exit_code, 7);
  EXPECT_EQ(back->time, 1.5);
  EXPECT_FALSE(rank_end_from_json("{\"rank\":1"));
}

TEST(Frames, round_trip_and_pieces) {
  const std::string text(3 * max_frame_text + 1, 'y');
  std::string joined;
  LineSplitter splitter;
  std::size_t frames = 0;
  for (const std::string& bytes : encode({FrameKind::error, 12, text})) {
    EXPECT_LE(bytes.size(), 4096u);
    for (const std::string& line : splitter.feed(bytes)) {
      const auto frame = decode(line);
      ASSERT_TRUE(frame);
      EXPECT_EQ(frame->rank, 12);
      joined += frame->text;
      ++frames;
    }
  }
  EXPECT_EQ(frames, 4u);
  EXPECT_EQ(joined, text);
  for (const char* foreign : {"", "mpirun: help", "\x01o", "\x01ox y", "\x01q1 y", "\x01o1"})
    EXPECT_FALSE(decode(foreign));
}

TEST(ShellQuoting, keeps_words) {
  EXPECT_EQ(shell_quoted({"a", "b c", "it's", "", "$x"}), "a 'b c' 'it'\\''s' '' '$x'");
}

}  // namespace
}  // namespace trireme
