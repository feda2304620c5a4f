// The folder of checkpoints: what is published is whole, what is replaced or removed goes last, and what a killed
// process left is tidied up.
#include "launcher/run/checkpoint_store.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "core/io/file.hpp"
#include "tests/launcher/checkpoint_helpers.hpp"
#include "tests/support/child_process.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

class Store : public testing::Test {
 protected:
  std::string in(const std::string& name) const { return store_.folder() + "/" + name; }
  std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> out;
    for (const auto& entry : store_.list()) out.push_back(entry.step);
    return out;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(store_.folder())) out.push_back(entry.path().filename().string());
    std::ranges::sort(out);
    return out;
  }
  static unsigned mode_of(const std::string& path) {
    struct stat facts {};
    EXPECT_EQ(::stat(path.c_str(), &facts), 0) << path;
    return facts.st_mode & 0777u;
  }
  void damage(std::int64_t step) const {
    const std::string shard = in(checkpoint_name(step)) + "/rank_0000.h5";
    fs::resize_file(shard, fs::file_size(shard) / 2);
  }
  using Steps = std::vector<std::int64_t>;

  TempDir dir_;
  CheckpointStore store_{dir_ / "new/run/checkpoints"};
  std::vector<SavedValue> old_ = {random_value("param/w", DType::f32, {100}, 1)};
  std::vector<SavedValue> new_ = {random_value("param/w", DType::f32, {100}, 2)};
};

TEST_F(Store, folders_and_files_are_the_owners_alone) {
  const mode_t before = ::umask(0);
  EXPECT_TRUE(store_.list().empty());
  const std::string partial = store_.begin(1);
  EXPECT_EQ(mode_of(dir_ / "new"), 0700u);
  EXPECT_EQ(mode_of(store_.folder()), 0700u);
  EXPECT_EQ(mode_of(partial), 0700u);
  EXPECT_EQ(partial, in(".step_00000001.partial"));
  const std::string path = save(store_, 1, old_);
  ::umask(before);
  EXPECT_EQ(mode_of(path), 0700u);
  EXPECT_EQ(mode_of(path + "/manifest.json"), 0600u);
  EXPECT_EQ(mode_of(path + "/rank_0000.h5"), 0600u);
  EXPECT_EQ(names(), std::vector<std::string>{"step_00000001"});
}

TEST_F(Store, relative_folders_and_slashes_at_the_end_are_fine) {
  const fs::path before = fs::current_path();
  fs::current_path(dir_.path());
  expect_values(save(CheckpointStore("here"), 1, old_), old_);
  expect_values(save(CheckpointStore("./there/below/"), 1, old_), old_);
  fs::current_path(before);
  EXPECT_TRUE(fs::exists(dir_ / "there/below/step_00000001/manifest.json"));
}

TEST_F(Store, lists_checkpoints_by_step_and_nothing_else) {
  for (const std::int64_t step : {100, 7, 100'000'000, 20}) save(store_, step, old_);
  fs::create_directories(in("step_9"));
  fs::create_directories(in(".step_00000008.partial"));
  fs::create_directories(in("notes"));
  write_file_atomically(in("step_00000009"), "a file");
  EXPECT_EQ(steps(), (Steps{7, 20, 100, 100'000'000}));
  EXPECT_EQ(store_.list()[0].path, in("step_00000007"));
}

TEST_F(Store, begin_empties_what_an_earlier_attempt_left) {
  const std::string partial = store_.begin(3);
  fs::create_directories(partial + "/sub");
  write_file_atomically(partial + "/rank_0009.h5", "old");
  EXPECT_EQ(store_.begin(3), partial);
  EXPECT_TRUE(fs::is_empty(partial));
  store_.abandon(3);
  EXPECT_FALSE(fs::exists(partial));
  store_.abandon(3);
  EXPECT_TRUE(names().empty());
}

TEST_F(Store, commit_publishes_nothing_that_readers_would_refuse) {
  save(store_, 1, old_);
  const std::string partial = store_.begin(2);
  CheckpointManifest manifest = plain_manifest(2, 1);
  const auto share = share_of(new_, 0, 1);
  const WrittenFile written[] = {write_checkpoint_file(partial + "/rank_0000.h5", 2, share)};
  CheckpointManifest of_nobody = manifest;
  of_nobody.ranks = 0;
  expect_error(ExitCode::corrupt_input, {"ranks"}, [&] { store_.commit(of_nobody); });
  merge_written(manifest, written);
  CheckpointManifest with_gap = manifest;
  with_gap.tensors[0].pieces[0].count -= 1;
  expect_error(ExitCode::corrupt_input, {"param/w"}, [&] { store_.commit(with_gap); });
  CheckpointManifest with_more = manifest;
  with_more.files.push_back({"rank_0001.h5", 5, {}});
  expect_error(ExitCode::storage, {"rank_0001.h5"}, [&] { store_.commit(with_more); });
  fs::resize_file(partial + "/rank_0000.h5", 50);
  expect_error(ExitCode::storage, {"rank_0000.h5", "50 bytes"}, [&] { store_.commit(manifest); });
  EXPECT_EQ(steps(), Steps{1});
  store_.abandon(2);
  EXPECT_EQ(names(), std::vector<std::string>{"step_00000001"});
  expect_error(ExitCode::storage, {"rank_0000.h5", "No such file"}, [&] { store_.commit(manifest); });
}

TEST_F(Store, a_checkpoint_of_the_same_step_is_replaced) {
  save(store_, 5, old_);
  damage(5);
  expect_values(save(store_, 5, new_), new_);
  EXPECT_EQ(joined(verify_checkpoint(in("step_00000005"))), "");
  EXPECT_EQ(names(), std::vector<std::string>{"step_00000005"});
}

TEST_F(Store, replaces_where_the_file_system_cannot_exchange) {
  save(store_, 5, old_);
  const int status = in_child([&] {
    refuse_call(SYS_renameat2, EINVAL);
    save(store_, 5, new_);
  });
  if (status == child_cannot) GTEST_SKIP() << "skipped: no system call filters";
  ASSERT_EQ(status, 0);
  expect_values(in("step_00000005"), new_);
  EXPECT_EQ(names(), std::vector<std::string>{"step_00000005"});
}

TEST_F(Store, an_old_checkpoint_between_two_names_is_put_back) {
  save(store_, 5, old_);
  store_.begin(5);
  fs::rename(in("step_00000005"), in(".step_00000005.replaced"));  // as if killed before the second rename
  store_.clean();
  expect_values(in("step_00000005"), old_);
  EXPECT_EQ(names(), std::vector<std::string>{"step_00000005"});
  fs::create_directories(in(".step_00000005.replaced"));  // as if killed after it
  store_.clean();
  expect_values(in("step_00000005"), old_);
  EXPECT_EQ(names(), std::vector<std::string>{"step_00000005"});
}

TEST_F(Store, clean_removes_only_what_a_killed_process_left) {
  save(store_, 5, old_);
  for (const char* name : {".step_00000006.partial/sub", ".step_00000002.trash", "notes", ".git", ".step_6.partial",
                           ".partial", "step_00000006.partial"}) {
    fs::create_directories(in(name));
  }
  write_file_atomically(in(".step_00000006.partial/rank_0000.h5"), "half");
  store_.clean();
  EXPECT_EQ(names(), (std::vector<std::string>{".git", ".partial", ".step_6.partial", "notes", "step_00000005",
                                               "step_00000006.partial"}));
  CheckpointStore(dir_ / "nowhere").clean();
}

TEST_F(Store, prune_keeps_what_the_rule_says) {
  const auto fill = [&] {
    for (std::int64_t step = 10; step <= 60; step += 10) save(store_, step, old_);
  };
  fill();
  EXPECT_EQ(store_.prune({.last = 3}), (Steps{10, 20, 30}));
  EXPECT_EQ(steps(), (Steps{40, 50, 60}));
  fill();
  EXPECT_EQ(store_.prune({.last = 2, .every = 20}), (Steps{10, 30}));
  EXPECT_EQ(steps(), (Steps{20, 40, 50, 60}));
  EXPECT_EQ(store_.prune({.last = 4}), Steps{});
  EXPECT_EQ(store_.prune({.last = 100}), Steps{});
  for (const std::int64_t least : {1, 0, -5}) {
    fill();
    store_.prune({.last = least});
    EXPECT_EQ(steps(), (Steps{50, 60})) << least;
  }
  for (const auto& name : names()) EXPECT_TRUE(name.starts_with("step_")) << name;
}

TEST_F(Store, prune_removes_nothing_unless_two_are_whole) {
  for (const std::int64_t damaged : {40, 30}) {
    for (const std::int64_t step : {10, 20, 30, 40}) save(store_, step, old_);
    damage(damaged);
    EXPECT_EQ(store_.prune({.last = 2}), Steps{}) << damaged;
    EXPECT_EQ(steps(), (Steps{10, 20, 30, 40}));
  }
  save(store_, 30, old_);
  fs::remove(in("step_00000040/manifest.json"));
  EXPECT_EQ(store_.prune({.last = 2}), Steps{});
  save(store_, 40, old_);
  damage(10);  // an old one that is damaged goes like any other
  EXPECT_EQ(store_.prune({.last = 2}), (Steps{10, 20}));
  EXPECT_EQ(steps(), (Steps{30, 40}));
}

TEST_F(Store, errors_name_the_path) {
  write_file_atomically(dir_ / "file", "text");
  expect_error(ExitCode::storage, {dir_ / "file"}, [&] { CheckpointStore(dir_ / "file").begin(1); });
  expect_error(ExitCode::storage, {dir_ / "file"}, [&] { CheckpointStore(dir_ / "file").list(); });
  expect_error(ExitCode::storage, {dir_ / "file"}, [&] { CheckpointStore(dir_ / "file/below").begin(1); });
  EXPECT_THROW(store_.begin(-1), Error);
}

}  // namespace
}  // namespace trireme
