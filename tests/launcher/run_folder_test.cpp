// Run folders: made private, never taken by accident, never half written.
#include "launcher/run/run_folder.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

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

TEST_F(RunFolders, is_private_and_whole) {
  const RunFolder folder({.name = "first", .parent = in("runs")});
  folder.write_config("epochs = 3\n");
  EXPECT_EQ(folder.path(), in("runs/first"));
  EXPECT_EQ(mode_of(folder.path()), 0700u);
  EXPECT_EQ(mode_of(folder.log_folder()), 0700u);
  EXPECT_EQ(mode_of(folder.config_file()), 0600u);
  EXPECT_EQ(read_file(folder.config_file()), "epochs = 3\n");
}

TEST_F(RunFolders, existing_run_is_refused_overwritten_or_resumed) {
  RunFolderSettings settings{.name = "first", .parent = in("runs")};
  const RunFolder first(settings);
  first.write_config("a = 1\n");
  first.write_file("metrics.jsonl", "{}\n");
  EXPECT_EQ(code_of(settings), ExitCode::usage);
  settings.existing = ExistingRun::resume;
  EXPECT_EQ(RunFolder(settings).path(), first.path());
  EXPECT_TRUE(fs::exists(first.metrics_file()));
  settings.existing = ExistingRun::overwrite;
  const RunFolder again(settings);
  EXPECT_FALSE(fs::exists(first.metrics_file()));
  EXPECT_FALSE(fs::exists(first.config_file()));
}

TEST_F(RunFolders, a_folder_of_other_files_is_never_overwritten) {
  fs::create_directories(in("precious"));
  write_file_atomically(in("precious/thesis.txt"), "text");
  EXPECT_EQ(code_of({.path = in("precious"), .existing = ExistingRun::overwrite}), ExitCode::usage);
  EXPECT_EQ(read_file(in("precious/thesis.txt")), "text");
  EXPECT_EQ(code_of({.path = in("precious"), .existing = ExistingRun::resume}), ExitCode::usage);
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
