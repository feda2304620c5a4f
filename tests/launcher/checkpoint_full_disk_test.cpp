// A disk that fills up during a save, and a limit on the size of files: the save ends with the exit code of storage and
// a message that says where and how much, what was there before is whole, and with enough room it goes through.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <regex>

#include "core/base/error.hpp"
#include "tests/support/child_process.hpp"
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

/// How a disk in memory counts, its own size, too.
std::uintmax_t whole_pages(std::uintmax_t bytes) {
  constexpr std::uintmax_t page = 4096;
  return (bytes + page - 1) / page * page;
}

std::uintmax_t pages_of(const DiskImage& image) {
  std::uintmax_t bytes = 0;
  for (const auto& [path, content] : image) bytes += content ? whole_pages(content->size()) : 0;
  return bytes;
}

TEST(CheckpointFullDisk, keeps_the_old_one_at_every_fill) {
  const SaveStage stage(the_case());
  const SaverOrder order{.folder = stage.checkpoints(), .sample = the_case().next};
  stage.reset();
  ASSERT_EQ(run_saver(order).code, 0);
  const std::uintmax_t before = pages_of(stage.before());
  const std::uintmax_t needed = pages_of(read_image(stage.run())) - before;
  constexpr unsigned steps = 20;
  for (unsigned step = 0; step < steps; ++step) {
    const std::uintmax_t room = needed * 110 * step / (steps - 1) / 100;
    const int status = in_child([&] {
      mount_small(stage.run().c_str(), static_cast<long>(before + room));
      fill_image(stage.before(), stage.run());
      const Outcome outcome = judge(run_saver(order), order.folder);
      require(outcome.trouble.empty(), "{} of {} bytes: {}", room, needed, outcome.trouble);
      if (!outcome.saved) std::exit(static_cast<int>(ExitCode::storage));
    });
    if (status == child_cannot) GTEST_SKIP() << "skipped: no right to mount a small disk of our own";
    const bool enough = whole_pages(room) >= needed;
    EXPECT_EQ(status, static_cast<int>(enough ? ExitCode::done : ExitCode::storage)) << room << " of " << needed;
  }
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
