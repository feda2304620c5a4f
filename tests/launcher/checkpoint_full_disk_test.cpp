// A disk that fills up during a save, and a limit on the size of files: the save ends with the exit code of storage and
// a message that says where and how much, what was there before is whole, and with enough room it goes through.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <regex>

#include "core/base/error.hpp"
#include "tests/support/saver_process.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

const SaveCase& the_case() {
  static const SaveCase save = save_cases()[1];
  return save;
}

/// How a starved save ended: what is wrong with that, and whether it went through.
struct Outcome {
  std::string trouble = {};
  bool saved = false;
};

Outcome judge(const SaverEnd& end, const std::string& folder) {
  Outcome outcome{.saved = end.code == static_cast<int>(ExitCode::done)};
  outcome.trouble = broken_promise(folder, the_case(), outcome.saved ? Moment::saved : Moment::saving);
  if (outcome.saved || !outcome.trouble.empty()) return outcome;
  static const std::regex amount(R"(\d+ bytes)");
  if (end.code != static_cast<int>(ExitCode::storage)) outcome.trouble = fmt::format("it ended with {}", end.code);
  if (end.message.find(folder) == std::string::npos) outcome.trouble = "no path in the message";
  if (!std::regex_search(end.message, amount)) outcome.trouble = "no bytes in the message";
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(".")) outcome.trouble = entry.path().string() + " was left";
  }
  if (!outcome.trouble.empty()) outcome.trouble += ": " + end.message;
  return outcome;
}

/// A disk of `bytes` at `folder`; "" or what went wrong.
std::string mount_disk(const std::string& folder, std::uintmax_t bytes) {
  const std::string options = fmt::format("size={}", bytes);
  const bool done = ::mount("none", folder.c_str(), "tmpfs", 0, options.c_str()) == 0;
  return done ? "" : fmt::format("mounting {} bytes failed: {}", bytes, std::strerror(errno));
}

std::uintmax_t used_bytes(const std::string& folder) {
  const fs::space_info space = fs::space(folder);
  return space.capacity - space.free;
}

/// The sweep, within a mount namespace of its own. Gives its troubles, a line each.
std::string sweep(const SaveStage& stage) {
  const std::string disk = stage.run();
  const SaverOrder order{.folder = stage.checkpoints(), .sample = the_case().next};
  if (auto trouble = mount_disk(disk, 64 << 20); !trouble.empty()) return trouble;
  fill_image(stage.before(), disk);
  const std::uintmax_t before = used_bytes(disk);
  if (const SaverEnd end = run_saver(order); end.code != 0) return "on a large disk: " + end.message;
  const std::uintmax_t needed = used_bytes(disk) - before;
  ::umount(disk.c_str());
  std::string troubles;
  constexpr unsigned steps = 20;
  for (unsigned step = 0; step < steps; ++step) {
    const std::uintmax_t room = needed * 110 * step / (steps - 1) / 100;
    if (auto trouble = mount_disk(disk, before + room); !trouble.empty()) return trouble;
    fill_image(stage.before(), disk);
    Outcome outcome = judge(run_saver(order), order.folder);
    const bool enough = step + 1 == steps;
    if (outcome.trouble.empty() && step == 0 && outcome.saved) outcome.trouble = "it saved without any room";
    if (outcome.trouble.empty() && enough && !outcome.saved) outcome.trouble = "it did not save";
    if (!outcome.trouble.empty()) troubles += fmt::format("{} of {} bytes: {}\n", room, needed, outcome.trouble);
    ::umount(disk.c_str());
  }
  return troubles;
}

constexpr int no_namespace = 77;

/// Runs `work` in a child that sees mounts of its own; its text, or nothing where the system does not allow that.
std::optional<std::string> in_private_mounts(const std::function<std::string()>& work) {
  int ends[2];
  require(::pipe(ends) == 0, "making a pipe failed");
  const pid_t child = ::fork();
  if (child == 0) {
    const bool alone = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    if (!alone) ::_exit(no_namespace);
    std::string text;
    try {
      text = work();
    } catch (const std::exception& error) {
      text = error.what();
    }
    const ssize_t sent = ::write(ends[1], text.data(), text.size());
    ::_exit(sent == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  char piece[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], piece, sizeof piece)) > 0;)
    text.append(piece, static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == no_namespace) return std::nullopt;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : text + "the sweep ended early";
}

TEST(CheckpointFullDisk, keeps_the_old_one_at_every_fill) {
  const SaveStage stage(the_case());
  const auto troubles = in_private_mounts([&] { return sweep(stage); });
  if (!troubles) GTEST_SKIP() << "skipped: no right to mount a small disk of our own";
  EXPECT_EQ(*troubles, "");
}

TEST(CheckpointFullDisk, keeps_the_old_one_under_a_limit_on_file_sizes) {
  const SaveStage stage(the_case());
  stage.reset();
  SaverOrder order{.folder = stage.checkpoints(), .sample = the_case().next};
  ASSERT_EQ(run_saver(order).code, 0);
  std::uintmax_t largest = 0;
  for (const auto& entry : fs::recursive_directory_iterator(stage.run())) {
    if (entry.is_regular_file()) largest = std::max(largest, entry.file_size());
  }
  for (const rlim_t percent : {0, 25, 50, 99, 100}) {
    stage.reset();
    order.file_limit = largest * percent / 100;
    const Outcome outcome = judge(run_saver(order), order.folder);
    EXPECT_EQ(outcome.trouble, "") << percent << " % of " << largest << " bytes";
    EXPECT_EQ(outcome.saved, percent == 100) << percent << " % of " << largest << " bytes";
  }
}

}  // namespace
}  // namespace trireme
