// The lock of a run folder: one holder, named to whoever comes second, and free again whatever ended the holder. The
// holders are processes of their own, as runs are.
#include "launcher/run/run_lock.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>

#include "core/base/error.hpp"
#include "core/base/now.hpp"
#include "core/io/file.hpp"
#include "core/io/json.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/ranks_lock.hpp"
#include "tests/support/messages.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

/// A forked process that holds a lock until it is told to end or is killed.
class Holder {
 public:
  Holder(const std::string& folder, const std::string& job) {
    int ready[2], end[2];
    EXPECT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(end, O_CLOEXEC), 0);
    id_ = ::fork();
    if (id_ == 0) {
      ::close(end[1]);
      hold(folder, job, ready[1], end[0]);
    }
    ::close(ready[1]);
    ::close(end[0]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1) << "the holder did not get the lock";
    ::close(ready[0]);
    end_ = end[1];
  }
  ~Holder() {
    ::close(end_);
    if (id_ > 0) ::waitpid(id_, nullptr, 0);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  pid_t id() const { return id_; }
  void kill_hard() {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
    id_ = -1;
  }

 private:
  [[noreturn]] static void hold(const std::string& folder, const std::string& job, int ready, int end) {
    try {
      const RunLock lock(folder, job);
      char byte = 1;
      if (::write(ready, &byte, 1) == 1) [[maybe_unused]]
        const ssize_t ended = ::read(end, &byte, 1);
    } catch (const Error&) {
    }
    ::_exit(0);
  }
  pid_t id_;
  int end_;
};

std::string lock_refusal(const std::string& folder) {
  try {
    const RunLock lock(folder, "second");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

std::string host() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

TEST(RunLock, second_process_is_refused_and_told_who_holds_it) {
  const TempDir folder;
  const Holder holder(folder.path(), "17");
  const std::string text = lock_refusal(folder.path());
  EXPECT_TRUE(has(text, fmt::format("'{}' is in use by process {} on host {} (job 17, since 20", folder.path().string(),
                                    holder.id(), host())))
      << text;
  EXPECT_TRUE(has(text, "Z): wait, or choose another --run-dir")) << text;
}

TEST(RunLock, an_ended_holder_frees_it) {
  const TempDir folder;
  { const Holder holder(folder.path(), "-"); }
  EXPECT_EQ(lock_refusal(folder.path()), "");
}

TEST(RunLock, a_killed_holder_frees_it_and_its_text_is_replaced) {
  const TempDir folder;
  Holder holder(folder.path(), "first-job");
  holder.kill_hard();
  ASSERT_TRUE(has(read_file(folder / "lock"), "first-job"));
  const RunLock lock(folder.path(), "other");
  const Json owner = Json::parse(read_file(folder / "lock"));
  EXPECT_EQ(owner.at("pid"), ::getpid());
  EXPECT_EQ(owner.at("job"), "other");
  EXPECT_EQ(owner.at("host"), host());
  EXPECT_TRUE(has(owner.at("command").at(0), "tests_launcher")) << owner.dump();
  for (const char* key : {"user", "started"}) EXPECT_FALSE(owner.at(key).get<std::string>().empty());
}

TEST(RunLock, owner_is_told_without_taking_the_lock) {
  const TempDir folder;
  EXPECT_FALSE(run_owner(folder.path()));
  EXPECT_FALSE(std::filesystem::exists(folder / "lock"));
  {
    const Holder holder(folder.path(), "-");
    const auto owner = run_owner(folder.path());
    ASSERT_TRUE(owner);
    EXPECT_TRUE(owner->starts_with(fmt::format("process {} on host {} (since 20", holder.id(), host()))) << *owner;
  }
  // The text of the dead holder is still there and means nothing.
  EXPECT_TRUE(std::filesystem::exists(folder / "lock"));
  EXPECT_FALSE(run_owner(folder.path()));
}

TEST(RunLock, asking_never_keeps_a_run_from_starting) {
  const TempDir folder;
  { const RunLock lock(folder.path(), "-"); }
  int asks[2];
  ASSERT_EQ(::pipe2(asks, O_CLOEXEC | O_NONBLOCK), 0);
  const pid_t asker = ::fork();
  if (asker == 0) {
    for (;;) {
      run_owner(folder.path());
      [[maybe_unused]] const ssize_t told = ::write(asks[1], "x", 1);
    }
  }
  // Until the asker has asked a thousand times in between.
  int asked = 0;
  for (char bytes[64]; asked < 1000;) {
    const ssize_t got = ::read(asks[0], bytes, sizeof bytes);
    if (got > 0) asked += static_cast<int>(got);
    const std::string text = lock_refusal(folder.path());
    if (!text.empty()) ADD_FAILURE() << text;
  }
  for (const int end : asks) ::close(end);
  ::kill(asker, SIGKILL);
  ::waitpid(asker, nullptr, 0);
}

TEST(RunLock, is_private_and_survives_strange_words) {
  const TempDir folder;
  const mode_t before = ::umask(0);
  {
    const RunLock lock(folder.path(), "a\xff\"b");
    const auto owner = run_owner(folder.path());
    EXPECT_TRUE(owner && has(*owner, "job a") && has(*owner, "\"b, since"));
  }
  ::umask(before);
  struct stat facts {};
  ASSERT_EQ(::stat((folder / "lock").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777u, 0600u);
}

TEST(RunLock, folder_that_is_not_there_is_a_storage_error) {
  const TempDir folder;
  try {
    const RunLock lock(folder / "none", "-");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::storage);
    EXPECT_TRUE(has(error.what(), "none/lock")) << error.what();
  }
}

/// The lock of a job's ranks: theirs alone once its runner and their wrappers are gone.
TEST(RanksLock, is_kept_by_a_rank_that_outlived_all_others) {
  const TempDir folder;
  auto first = std::make_unique<RanksLock>(folder.path());
  RanksLock next(folder.path());
  ASSERT_TRUE(first->try_take());
  EXPECT_FALSE(next.try_take());
  first->let_inherit();
  Child rank({.command = {"sleep", "1000"}});
  first.reset();
  EXPECT_FALSE(next.try_take());
  next.kill_holders();
  for (const double end = steady_seconds() + 10; rank.poll_status() == -1 && steady_seconds() < end;) ::usleep(1000);
  EXPECT_TRUE(WIFSIGNALED(rank.poll_status())) << "it lives";
  EXPECT_TRUE(next.try_take());
  if (rank.poll_status() == -1) ::kill(rank.id(), SIGKILL);
}

TEST(RunLock, job_is_named_by_scheduler_or_user) {
  ::unsetenv("SLURM_JOB_ID");
  ::unsetenv("TRIREME_JOB");
  EXPECT_EQ(job_name(), "-");
  ::setenv("TRIREME_JOB", "mine", 1);
  EXPECT_EQ(job_name(), "mine");
  ::setenv("SLURM_JOB_ID", "17", 1);
  EXPECT_EQ(job_name(), "17");
  ::unsetenv("SLURM_JOB_ID");
  ::unsetenv("TRIREME_JOB");
}

}  // namespace
}  // namespace trireme
