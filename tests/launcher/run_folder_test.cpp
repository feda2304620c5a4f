// Run folders: made private, never taken by accident, never half written.
#include "launcher/run/run_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <vector>

#include "core/base/error.hpp"
#include "core/io/file.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

class RunFolders : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("trireme-runs-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  std::string in(const std::string& name) const { return (root_ / name).string(); }
  static ExitCode code_of(const RunFolderSettings& settings) {
    try {
      RunFolder folder(settings);
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::done;
  }
  static unsigned mode_of(const std::string& path) {
    struct stat facts {};
    EXPECT_EQ(::stat(path.c_str(), &facts), 0) << path;
    return facts.st_mode & 0777u;
  }
  fs::path root_;
};

TEST_F(RunFolders, is_private_and_whole_whatever_the_umask) {
  const mode_t before = ::umask(0);
  const RunFolder folder({.path = in("deep/runs/first")});
  folder.write_config("epochs = 3\n");
  folder.write_config("epochs = 4\n");
  folder.write_file("summary.json", "{}");
  ::umask(before);
  EXPECT_EQ(folder.path(), in("deep/runs/first"));
  EXPECT_FALSE(folder.existed());
  for (const std::string& path : {in("deep"), in("deep/runs"), folder.path(), folder.log_folder()}) {
    EXPECT_EQ(mode_of(path), 0700u) << path;
  }
  for (const char* name : {"config.ini", "config.1.ini", "summary.json", "lock"}) {
    EXPECT_EQ(mode_of(folder.path() + "/" + name), 0600u) << name;
  }
  EXPECT_EQ(read_file(folder.config_file()), "epochs = 4\n");
}

/// A run that has ended, with one of each thing that a run leaves.
std::string ended_run(const RunFolderSettings& settings) {
  const RunFolder run(settings);
  run.write_config("a = 1\n");
  run.write_config("a = 2\n");
  run.write_file("metrics.jsonl", "{}\n");
  for (const std::string& folder : {run.checkpoint_folder(), run.tensorboard_folder()}) {
    fs::create_directories(folder);
    write_file_atomically(folder + "/file", "x");
  }
  return run.path();
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST_F(RunFolders, existing_run_is_refused_or_resumed_with_everything) {
  RunFolderSettings settings{.name = "first", .parent = in("runs")};
  const std::string path = ended_run(settings);
  const auto before = names_in(path);
  EXPECT_EQ(code_of(settings), ExitCode::usage);
  for (const ExistingRun existing : {ExistingRun::resume, ExistingRun::open_or_create}) {
    settings.existing = existing;
    const RunFolder again(settings);
    EXPECT_EQ(again.path(), path);
    EXPECT_TRUE(again.existed());
    EXPECT_EQ(names_in(path), before);
    EXPECT_TRUE(fs::exists(again.checkpoint_folder() + "/file"));
  }
}

TEST_F(RunFolders, overwriting_removes_what_a_run_wrote_and_nothing_else) {
  RunFolderSettings settings{.name = "first", .parent = in("runs"), .existing = ExistingRun::overwrite};
  const std::string path = ended_run(settings);
  write_file_atomically(path + "/notes.txt", "mine");
  write_file_atomically(path + "/config.old.ini", "mine too");
  const RunFolder again(settings);
  EXPECT_FALSE(again.existed());
  EXPECT_EQ(names_in(path), (std::vector<std::string>{"config.old.ini", "lock", "logs", "notes.txt"}));
}

TEST_F(RunFolders, open_or_create_makes_a_run_where_there_is_none) {
  const RunFolderSettings settings{.path = in("new"), .existing = ExistingRun::open_or_create};
  {
    // Killed before config.ini was there, perhaps while it was written; the launcher's logs came first.
    const RunFolder run(settings);
    EXPECT_FALSE(run.existed());
    write_file_atomically(run.log_folder() + "/rank-0.log", "x");
    write_file_atomically(run.path() + "/config.ini.123.tmp", "half");
  }
  const RunFolder again(settings);
  EXPECT_FALSE(again.existed());
  EXPECT_EQ(names_in(again.path()), (std::vector<std::string>{"lock", "logs"}));
  EXPECT_TRUE(fs::exists(again.log_folder() + "/rank-0.log"));
}

TEST_F(RunFolders, a_run_in_use_is_left_alone) {
  RunFolderSettings settings{.name = "first", .parent = in("runs")};
  const std::string path = ended_run(settings);
  settings.existing = ExistingRun::resume;
  const RunFolder running(settings);
  const auto before = names_in(path);
  for (const ExistingRun existing : {ExistingRun::overwrite, ExistingRun::resume, ExistingRun::open_or_create}) {
    settings.existing = existing;
    EXPECT_EQ(code_of(settings), ExitCode::usage);
    EXPECT_EQ(names_in(path), before);
  }
}

/// A second run looks before it locks; the kernel keeps it between the two as long as this process has a lease on the
/// lock's file, and tells so by SIGIO.
TEST_F(RunFolders, a_run_that_came_and_went_between_look_and_lock_is_seen) {
  const std::string path = in("run");
  EXPECT_EQ(code_of({.path = path}), ExitCode::done);
  sigset_t told, before;
  sigemptyset(&told);
  sigaddset(&told, SIGIO);
  ::sigprocmask(SIG_BLOCK, &told, &before);
  const int lock = ::open((path + "/lock").c_str(), O_RDWR | O_CLOEXEC);
  const bool leased = ::fcntl(lock, F_SETLEASE, F_WRLCK) == 0;
  if (leased) {
    const pid_t second = ::fork();
    if (second == 0) ::_exit(static_cast<int>(code_of({.path = path})));
    const timespec patience{.tv_sec = 30, .tv_nsec = 0};
    EXPECT_EQ(::sigtimedwait(&told, nullptr, &patience), SIGIO);
    write_file_atomically(path + "/config.ini", "a = 1\n");
    ::fcntl(lock, F_SETLEASE, F_UNLCK);
    int status = 0;
    ::waitpid(second, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(ExitCode::usage));
  }
  ::close(lock);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (!leased) GTEST_SKIP() << "skipped: no leases on this file system";
}

TEST_F(RunFolders, configs_of_earlier_starts_are_kept) {
  const RunFolder run({.path = in("run")});
  const auto text = [&](const std::string& name) { return read_file(run.path() + "/" + name); };
  run.write_config("# command line\na = 1\n");
  run.write_config("# default\na = 1\n");  // the same values from elsewhere
  EXPECT_FALSE(fs::exists(run.path() + "/config.1.ini"));
  EXPECT_EQ(text("config.ini"), "# default\na = 1\n");
  run.write_config("a = 2\n");
  run.write_config("a = 3\n");
  EXPECT_EQ(text("config.1.ini"), "# default\na = 1\n");
  EXPECT_EQ(text("config.2.ini"), "a = 2\n");
  EXPECT_EQ(text("config.ini"), "a = 3\n");
  // Killed between the two writes of a change: the kept file is there already.
  write_file_atomically(run.path() + "/config.3.ini", "a = 3\n");
  run.write_config("a = 4\n");
  EXPECT_FALSE(fs::exists(run.path() + "/config.4.ini"));
  EXPECT_EQ(text("config.3.ini"), "a = 3\n");
}

TEST_F(RunFolders, a_folder_of_other_files_is_never_overwritten) {
  fs::create_directories(in("precious"));
  write_file_atomically(in("precious/thesis.txt"), "text");
  for (const ExistingRun existing :
       {ExistingRun::refuse, ExistingRun::overwrite, ExistingRun::resume, ExistingRun::open_or_create}) {
    EXPECT_EQ(code_of({.path = in("precious"), .existing = existing}), ExitCode::usage);
    EXPECT_EQ(names_in(in("precious")), std::vector<std::string>{"thesis.txt"});
  }
  EXPECT_EQ(read_file(in("precious/thesis.txt")), "text");
}

TEST_F(RunFolders, names_cannot_leave_the_parent_and_files_are_no_folders) {
  EXPECT_EQ(code_of({.name = "../other", .parent = in("runs")}), ExitCode::usage);
  EXPECT_EQ(code_of({.name = "..", .parent = in("runs")}), ExitCode::usage);
  write_file_atomically(in("file"), "x");
  EXPECT_EQ(code_of({.path = in("file")}), ExitCode::storage);
}

TEST_F(RunFolders, unnamed_runs_get_folders_of_their_own) {
  const RunFolder a({.parent = in("runs")}), b({.parent = in("runs")});
  EXPECT_NE(a.path(), b.path());
}

TEST_F(RunFolders, failed_write_leaves_the_old_file_and_no_other) {
  write_file_atomically(in("note"), "old");
  // A limit on file sizes is the full disk that a test can have.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  ExitCode code = ExitCode::done;
  try {
    write_file_atomically(in("note"), std::string(5000, 'x'));
  } catch (const Error& error) {
    code = error.code();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(code, ExitCode::storage);
  EXPECT_EQ(read_file(in("note")), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator()), 1);
}

TEST_F(RunFolders, missing_folder_is_a_storage_error) {
  try {
    write_file_atomically(in("none/file"), "x");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::storage);
    EXPECT_NE(std::string(error.what()).find("none/file"), std::string::npos);
  }
}

}  // namespace
}  // namespace trireme
