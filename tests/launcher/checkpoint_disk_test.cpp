// Disks that are full or fail while a checkpoint is written or read: the error says which file and how many bytes, the
// checkpoint before stays whole, nothing stays open, and the process ends in order.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "core/io/file.hpp"
#include "tests/launcher/checkpoint_helpers.hpp"
#include "tests/support/child_process.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr int storage = static_cast<int>(ExitCode::storage);

void check(bool condition, const std::string& what) { require(condition, "{}", what); }

std::ptrdiff_t open_files() { return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()); }

class Disk : public testing::Test {
 protected:
  /// Saves step 2 on a disk that may refuse it, as a run does: on an error the attempt is removed. In a child. Whatever
  /// happened, step 1 must be whole, step 2 whole or not there, and the error must be one a user can act on.
  void attempt(const std::vector<SavedValue>& values) const {
    const std::ptrdiff_t before = open_files();
    std::string message;
    try {
      save(store_, 2, values);
    } catch (const Error& error) {
      message = error.what();
      check(error.code() == ExitCode::storage, "another code: " + message);
      check(message.find(store_.folder()) != std::string::npos, "no path: " + message);
      store_.abandon(2);
    }
    check(open_files() == before, "a file stays open");
    check(verify_checkpoint(store_.folder() + "/" + checkpoint_name(1)).empty(), "step 1 is damaged");
    const bool there = fs::exists(store_.folder() + "/" + checkpoint_name(2));
    check(there == message.empty(), "step 2 is there after: " + message);
    check(!there || verify_checkpoint(store_.folder() + "/" + checkpoint_name(2)).empty(), "step 2 is damaged");
    check(store_.list().size() == (there ? 2U : 1U), "another number of checkpoints");
    check(!fs::exists(store_.folder() + "/.step_00000002.partial"), "the attempt stays");
    if (!there) fail(ExitCode::storage, "{}", message);
  }

  /// Limits files to `bytes`, as a full disk would, in a child.
  static void limit(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit most{bytes, bytes};
    ::setrlimit(RLIMIT_FSIZE, &most);
  }

  TempDir dir_;
  CheckpointStore store_{dir_ / "disk/checkpoints"};
  std::vector<SavedValue> small_ = {random_value("param/w", DType::f32, {100}, 1)};
  std::vector<SavedValue> large_ = {random_value("param/w", DType::f32, {40, 1000}, 1),
                                    random_value("param/b", DType::f64, {5000}, 2)};
};

TEST_F(Disk, one_that_fills_up_at_any_point_leaves_the_checkpoint_before) {
  constexpr long page = 4096, room = 270'000;
  fs::create_directories(dir_ / "disk");
  int refused = 0, saved = 0;
  for (int percent = 0; percent <= 120; percent += 5) {
    const int status = in_child([&] {
      // tmpfs counts pages; a first checkpoint of 6 small files and folders comes before.
      mount_small((dir_ / "disk").c_str(), (10 + room * percent / 100 / page) * page);
      save(store_, 1, small_, 2);
      attempt(large_);
    });
    if (status == child_cannot) GTEST_SKIP() << "skipped: not allowed to mount";
    ASSERT_TRUE(status == 0 || status == storage) << percent << " %: status " << status;
    (status == 0 ? saved : refused) += 1;
  }
  EXPECT_GE(refused, 10);
  EXPECT_GE(saved, 1);
}

TEST_F(Disk, a_limit_on_file_sizes_is_an_error_with_path_and_bytes) {
  save(store_, 1, small_, 2);
  int refused = 0;
  for (const rlim_t bytes : {0, 100, 1000, 5000, 50'000, 120'000, 159'000, 200'000, 300'000, 400'000}) {
    const int status = in_child([&] {
      limit(bytes);
      attempt(large_);
    });
    ASSERT_TRUE(status == 0 || status == storage) << bytes << " bytes: status " << status;
    refused += status == storage ? 1 : 0;
    fs::remove_all(store_.folder() + "/" + checkpoint_name(2));
  }
  EXPECT_GE(refused, 5);
}

TEST_F(Disk, space_that_cannot_be_taken_ahead_is_missed_when_it_is_written) {
  save(store_, 1, small_, 2);
  for (const rlim_t bytes : {0, 100, 5000, 120'000}) {
    const int status = in_child([&] {
      refuse_call(SYS_fallocate, EOPNOTSUPP);
      limit(bytes);
      attempt(large_);
    });
    if (status == child_cannot) GTEST_SKIP() << "skipped: no system call filters";
    ASSERT_EQ(status, storage) << bytes;
  }
  ASSERT_EQ(in_child([&] {
              refuse_call(SYS_fallocate, EOPNOTSUPP);
              attempt(large_);
            }),
            0);
  const auto pieces = share_of(large_, 0, 1);
  const int status = in_child([&] {
    refuse_call(SYS_fallocate, EOPNOTSUPP);
    limit(100'000);
    expect_error(ExitCode::storage, {dir_ / "a.h5", "bytes [", "File too large"},
                 [&] { write_checkpoint_file(dir_ / "a.h5", 1, pieces); });
    check(!testing::Test::HasFailure(), "another message");
  });
  EXPECT_EQ(status, 0);
}

TEST_F(Disk, a_reservation_that_is_refused_names_path_and_bytes) {
  const auto pieces = share_of(large_, 0, 1);
  const int status = in_child([&] {
    refuse_call(SYS_fallocate, ENOSPC);
    expect_error(ExitCode::storage, {dir_ / "a.h5", "reserve 20", "bytes", "No space left"},
                 [&] { write_checkpoint_file(dir_ / "a.h5", 1, pieces); });
    check(!testing::Test::HasFailure(), "another message");
  });
  if (status == child_cannot) GTEST_SKIP() << "skipped: no system call filters";
  EXPECT_EQ(status, 0);
}

TEST_F(Disk, any_call_that_fails_while_saving_leaves_the_checkpoint_before) {
  save(store_, 1, small_, 2);
  for (const long call : {SYS_fsync, SYS_pwrite64, SYS_rename, SYS_mkdir, SYS_pread64}) {
    const int status = in_child([&] {
      const std::string folder = store_.folder(), path = fs::path(folder).parent_path().string();
      refuse_call(call, EIO);
      try {
        save(store_, 2, large_);
      } catch (const Error& error) {
        check(std::string(error.what()).find(path) != std::string::npos, error.what());
        check(std::string(error.what()).find("Input/output error") != std::string::npos, error.what());
        check(!fs::exists(folder + "/" + checkpoint_name(2)), "step 2 is there");
        throw;
      }
    });
    if (status == child_cannot) GTEST_SKIP() << "skipped: no system call filters";
    EXPECT_EQ(status, storage) << "call " << call;
    EXPECT_EQ(joined(verify_checkpoint(store_.folder() + "/" + checkpoint_name(1))), "");
  }
}

TEST_F(Disk, a_manifest_that_finds_no_space_publishes_nothing) {
  save(store_, 1, small_, 2);
  const std::string partial = store_.begin(2);
  const WrittenFile written[] = {write_checkpoint_file(partial + "/rank_0000.h5", 2, share_of(small_, 0, 1))};
  CheckpointManifest manifest = plain_manifest(2, 1);
  manifest.options["train.note"] = std::string(50'000, 'n');
  merge_written(manifest, written);
  const int status = in_child([&] {
    limit(20'000);
    expect_error(ExitCode::storage, {partial + "/manifest.json", "File too large"}, [&] { store_.commit(manifest); });
    check(!testing::Test::HasFailure(), "another error");
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(store_.list().size(), 1U);
  EXPECT_EQ(joined(verify_checkpoint(store_.commit(manifest))), "");
}

TEST_F(Disk, what_does_not_reach_the_disk_is_not_published) {
  save(store_, 1, small_, 2);
  const std::string partial = store_.begin(2);
  const auto pieces = share_of(small_, 0, 1);
  const WrittenFile written[] = {write_checkpoint_file(partial + "/rank_0000.h5", 2, pieces)};
  CheckpointManifest manifest = plain_manifest(2, 1);
  merge_written(manifest, written);
  const int status = in_child([&] {
    refuse_call(SYS_fsync, EIO);
    expect_error(ExitCode::storage, {partial + "/manifest.json", "Input/output error"},
                 [&] { store_.commit(manifest); });
    expect_error(ExitCode::storage, {dir_ / "a.h5", "Input/output error"},
                 [&] { write_checkpoint_file(dir_ / "a.h5", 2, pieces); });
    check(!testing::Test::HasFailure(), "another error");
  });
  if (status == child_cannot) GTEST_SKIP() << "skipped: no system call filters";
  EXPECT_EQ(status, 0);
  EXPECT_EQ(store_.list().size(), 1U);
}

TEST_F(Disk, one_that_cannot_be_read_is_a_storage_error_that_names_the_tensor) {
  const std::string folder = save(store_, 1, large_);
  const int status = in_child([&] {
    const CheckpointReader reader(folder);
    refuse_call(SYS_pread64, EIO);
    for (const auto& problem : {"param/w", "param/b"}) {
      expect_error(ExitCode::storage, {folder, problem, "Input/output error"}, [&] {
        const SavedTensor& tensor = *reader.find("param", std::string(problem).substr(6));
        read_range(reader, tensor, 0, tensor.shape.elements());
      });
    }
    expect_error(ExitCode::storage, {folder, "manifest.json"}, [&] { CheckpointReader again(folder); });
    check(!testing::Test::HasFailure(), "another error");
  });
  if (status == child_cannot) GTEST_SKIP() << "skipped: no system call filters";
  EXPECT_EQ(status, 0);
}

TEST_F(Disk, readers_of_many_files_stay_within_the_limit_of_open_files) {
  const std::vector<SavedValue> values = {random_value("param/w", DType::i32, {1000}, 1)};
  const std::string folder = save(store_, 1, values, 201);
  const int status = in_child([&] {
    const auto before = static_cast<rlim_t>(open_files());
    const rlimit most{before + 80, before + 80};
    ::setrlimit(RLIMIT_NOFILE, &most);
    expect_values(folder, values);
    check(verify_checkpoint(folder).empty(), "verification fails");
    check(static_cast<rlim_t>(open_files()) == before, "a file stays open");
    check(!testing::Test::HasFailure(), "other values");
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace trireme
