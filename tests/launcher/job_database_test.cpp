// The data base of jobs: what it keeps, several processes at once, damage, and folders where it must not lie.
#include "launcher/job/job_database.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "tests/support/random_seed.hpp"
#include "tests/support/temp_dir.hpp"

namespace {

/// The number of the file system that every folder of this process is said to lie on; 0: what the kernel says.
decltype(statfs::f_type) played_file_system = 0;

}  // namespace

/// Instead of the C library's: a network file system that needs no network.
extern "C" int statfs(const char* path, struct statfs* facts) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_statfs, path, facts));
  if (result == 0 && played_file_system != 0) facts->f_type = played_file_system;
  return result;
}

namespace trireme {
namespace {

namespace fs = std::filesystem;

SlotRequest whole_host(std::int64_t job) { return {.job = job, .hosts = {{"a", 2}, {"b", 2}}, .ranks_per_node = 2}; }

class Jobs : public testing::Test {
 protected:
  std::string jobs() const { return folder_.path().string(); }
  void submit(JobDatabase& database, const SlotRequest& request) const {
    fs::create_directories(folder_ / std::to_string(request.job));
    database.submit(request, {.submitted = 5});
  }
  [[noreturn]] void write_for_ever(std::int64_t k) const {
    try {
      for (std::int64_t n = 1;; ++n) {
        const std::int64_t job = 1 + (n * 3 + k) % 30;
        JobDatabase database(jobs());
        submit(database, whole_host(job));
        database.write(job, {.phase = n % 2 == 0 ? JobPhase::done : JobPhase::running});
      }
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    ::_exit(1);
  }
  TempDir folder_;
};

TEST_F(Jobs, wait_for_slots_and_get_those_of_one_that_ends) {
  JobDatabase database(jobs());
  for (const std::int64_t job : {1, 2, 3, 4}) submit(database, whole_host(job));
  ASSERT_TRUE(database.placement(1) && database.placement(2));
  EXPECT_EQ(database.placement(1)->hosts, "a:2");
  EXPECT_EQ(database.placement(2)->hosts, "b:2");
  EXPECT_FALSE(database.placement(3) || database.placement(4));
  JobState state = *database.state(1);
  state.phase = JobPhase::running;
  database.write(1, state);
  EXPECT_FALSE(database.placement(3));
  state.phase = JobPhase::failed;
  database.write(1, state);
  // Another process sees it.
  const JobDatabase other(jobs());
  EXPECT_EQ(other.placement(3)->hosts, "a:2");
  EXPECT_FALSE(other.placement(4));
  EXPECT_EQ(other.unfinished(), (std::vector<std::int64_t>{2, 3, 4}));
  EXPECT_EQ(other.state(1)->phase, JobPhase::failed);
  EXPECT_FALSE(other.state(9));
  EXPECT_THROW(database.write(9, state), Error);
}

TEST_F(Jobs, begin_again_at_the_end_of_the_queue) {
  JobDatabase database(jobs());
  for (const std::int64_t job : {1, 2, 3}) submit(database, whole_host(job));
  submit(database, whole_host(4));
  submit(database, whole_host(3));
  database.write(1, {.phase = JobPhase::done});
  EXPECT_TRUE(database.placement(4));
  EXPECT_FALSE(database.placement(3));
}

TEST_F(Jobs, whose_folders_were_removed_hold_no_slots) {
  JobDatabase database(jobs());
  for (const std::int64_t job : {1, 2, 3}) submit(database, whole_host(job));
  fs::remove_all(folder_ / "2");
  database.place_waiting();
  EXPECT_FALSE(database.state(2));
  EXPECT_EQ(database.placement(3)->hosts, "b:2");
}

TEST_F(Jobs, of_this_machine_do_not_wait) {
  JobDatabase database(jobs());
  for (const std::int64_t job : {1, 2}) submit(database, {.job = job});
  EXPECT_TRUE(database.placement(1) && database.placement(2));
  EXPECT_EQ(database.placement(2)->hosts, "");
}

TEST_F(Jobs, are_readable_by_their_owner_only) {
  JobDatabase database(jobs());
  struct stat facts {};
  ASSERT_EQ(::stat((folder_ / "jobs.db").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

/// The others would find a job that holds nothing, or slots that nobody gave away.
TEST_F(Jobs, that_cannot_be_placed_leave_no_half_change) {
  {
    JobDatabase database(jobs());
    submit(database, {.job = 1, .hosts = {{"a", 2}}, .ranks_per_node = 2});
    EXPECT_THROW(submit(database, {.job = 2, .hosts = {{"b", 2}, {"b", 2}}, .ranks_per_node = 2}), Error);
    EXPECT_FALSE(database.state(2));
    submit(database, {.job = 3, .hosts = {{"damaged", 2}}, .ranks_per_node = 2});
  }
  std::string bytes = read_file(folder_ / "jobs.db");
  for (std::size_t at = 0; (at = bytes.find("damaged:2", at)) != std::string::npos;) bytes[at + 8] = 'x';
  std::ofstream(folder_ / "jobs.db", std::ios::binary) << bytes;
  JobDatabase database(jobs());
  EXPECT_THROW(database.write(1, {.phase = JobPhase::done}), Error);
  EXPECT_EQ(to_text(database.state(1)->phase), "queued");
  fs::remove_all(folder_ / "1");
  EXPECT_THROW(database.place_waiting(), Error);
  EXPECT_TRUE(database.state(1));
}

/// Another process comes while this one has the right to write: it waits, and goes on.
class JobsAtOnce : public Jobs {
 protected:
  ~JobsAtOnce() override {
    if (writing_ >= 0) ::close(writing_);
    if (other_ > 0) ::kill(other_, SIGKILL), ::waitpid(other_, nullptr, 0);
  }
  /// Takes the right to write that SQLite gives to one process at a time, a lock on a byte (sqlite.org/lockingv3.html).
  /// The next look of this process at the data base gives it back.
  void begin_to_write() {
    writing_ = ::open((folder_ / "jobs.db").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock reserved {};
    reserved.l_type = F_WRLCK;
    reserved.l_whence = SEEK_SET;
    reserved.l_start = 0x40000001;
    reserved.l_len = 1;
    ASSERT_EQ(::fcntl(writing_, F_SETLK, &reserved), 0);
  }
  /// Starts `act` in a process of its own; returns once that waits, or has failed.
  template <class Act>
  void meanwhile(const Act& act) {
    other_ = ::fork();
    if (other_ == 0) {
      try {
        act();
        ::_exit(0);
      } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
      }
      ::_exit(1);
    }
    const std::string stat = "/proc/" + std::to_string(other_) + "/stat";
    // It sleeps nowhere but in SQLite's waiting for the lock; Z: it has ended.
    for (char state = '?'; state != 'S' && state != 'Z'; ::usleep(1000)) {
      std::string text;
      std::getline(std::ifstream(stat), text);
      state = text.at(text.rfind(')') + 2);
    }
  }
  void expect_end() {
    int status = 0;
    ::waitpid(std::exchange(other_, -1), &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  int writing_ = -1;
  pid_t other_ = -1;
};

TEST_F(JobsAtOnce, make_one_table) {
  begin_to_write();
  meanwhile([&] { JobDatabase(jobs()).unfinished(); });
  { JobDatabase(jobs()).unfinished(); }
  expect_end();
}

TEST_F(JobsAtOnce, do_not_both_get_the_last_slots) {
  { JobDatabase(jobs()).unfinished(); }
  begin_to_write();
  const auto submit_one = [&](std::int64_t job) {
    JobDatabase database(jobs());
    submit(database, {.job = job, .hosts = {{"a", 2}}, .ranks_per_node = 2});
  };
  meanwhile([&] { submit_one(2); });
  submit_one(1);
  expect_end();
  const JobDatabase database(jobs());
  EXPECT_TRUE(database.state(1) && database.state(2));
  EXPECT_NE(database.placement(1).has_value(), database.placement(2).has_value());
}

/// It reads before it writes: with a right to read alone it could not wait for the right to write.
TEST_F(JobsAtOnce, wait_for_each_other_before_they_look) {
  {
    JobDatabase database(jobs());
    submit(database, whole_host(1));
    fs::remove_all(folder_ / "1");
  }
  begin_to_write();
  meanwhile([&] { JobDatabase(jobs()).place_waiting(); });
  ::close(std::exchange(writing_, -1));
  expect_end();
  EXPECT_FALSE(JobDatabase(jobs()).state(1));
}

/// Processes that are killed in the middle of submitting leave no half transaction.
TEST_F(Jobs, survive_kills_of_those_who_write) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937 random(seed);
  { JobDatabase(jobs()).unfinished(); }
  for (int round = 0; round < 20; ++round) {
    std::vector<pid_t> writers;
    for (int k = 0; k < 3; ++k) {
      const pid_t writer = ::fork();
      if (writer == 0) write_for_ever(k);
      writers.push_back(writer);
    }
    ::usleep(static_cast<useconds_t>(5000 + random() % 40000));
    for (const pid_t writer : writers) ::kill(writer, SIGKILL);
    for (const pid_t writer : writers) {
      int status = 0;
      ::waitpid(writer, &status, 0);
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it failed before it was killed";
    }
    const JobDatabase database(jobs());
    std::map<std::string, std::int64_t> used;
    for (const PlacedJob& one : database.queue().placed) {
      for (const std::string& name : one.on) used[name] += one.request.ranks_per_node;
    }
    for (const auto& [name, count] : used) ASSERT_LE(count, 2) << name;
    for (const std::int64_t job : database.unfinished()) ASSERT_TRUE(database.state(job));
  }
}

TEST_F(Jobs, damage_is_told_with_the_file_and_never_crashes) {
  const std::uint32_t seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937 random(seed);
  {
    JobDatabase database(jobs());
    for (const std::int64_t job : {1, 2, 3}) submit(database, whole_host(job));
  }
  const std::string file = folder_ / "jobs.db", whole = read_file(file);
  const auto use = [&] {
    JobDatabase database(jobs());
    database.place_waiting();
    for (const std::int64_t job : {1, 2, 3}) {
      database.state(job);
      database.placement(job);
    }
  };
  std::ofstream(file) << "no data base at all, but long enough to be looked at as one: " << std::string(4096, 'x');
  try {
    use();
    ADD_FAILURE() << "not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
    EXPECT_NE(std::string(error.what()).find(file), std::string::npos) << error.what();
  }
  int noticed = 0;
  for (int round = 0; round < 400; ++round) {
    std::string bytes = whole;
    for (std::size_t n = 1 + random() % 30; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    std::ofstream(file, std::ios::binary) << bytes;
    try {
      use();
    } catch (const Error&) {
      ++noticed;
    }
  }
  EXPECT_GT(noticed, 50);
}

TEST_F(Jobs, a_newer_form_is_refused) {
  { JobDatabase(jobs()).unfinished(); }
  // user_version: four bytes at 60 (sqlite.org/fileformat.html).
  std::fstream file(folder_ / "jobs.db", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(63).put(99);
  file.close();
  try {
    const JobDatabase database(jobs());
    ADD_FAILURE() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("newer"), std::string::npos) << error.what();
  }
}

TEST_F(Jobs, are_not_queued_on_a_network_file_system) {
  std::string said;
  played_file_system = 0x6969;
  try {
    const JobDatabase database(jobs());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    said = error.what();
  }
  played_file_system = 0;
  EXPECT_NE(said.find("network file system (NFS)"), std::string::npos) << said;
  EXPECT_FALSE(JobDatabase::is_in(jobs())) << "it was made before it was refused";
  EXPECT_NO_THROW(JobDatabase(jobs()).unfinished());
}

TEST(NetworkFileSystem, is_told_by_its_number) {
  for (const std::uint64_t magic : {0x6969u, 0xff534d42u, 0x0bd00bd0u, 0x47504653u, 0x65735546u, 0x19830326u})
    EXPECT_NE(network_file_system(magic), "") << magic;
  // ext4, xfs, btrfs, tmpfs, overlayfs.
  for (const std::uint64_t magic : {0xef53u, 0x58465342u, 0x9123683eu, 0x01021994u, 0x794c7630u})
    EXPECT_EQ(network_file_system(magic), "") << magic;
}

}  // namespace
}  // namespace trireme
