// Law 6 for power cuts: the operations of one save are replayed into every kind of disk a cut at any of them may leave
// (tests/support/disk_model.hpp). In each, every listed checkpoint is whole, the newest is the old or the new one, and
// the new one once commit() has returned. Then each fsync of the save is taken away, and the promise must break.
// TRIREME_POWER_STATES=20000 looks into so many different disks a case, TRIREME_POWER_SEED=... into the same ones
// again.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <random>
#include <set>

#include "core/base/error.hpp"
#include "tests/support/saver_process.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Change = DiskModel::Change;
using ChangeKind = DiskModel::ChangeKind;
using Fate = DiskModel::Fate;

std::int64_t power_number(const char* name, std::int64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

/// States of the disk that were looked into and found in order.
using Seen = std::set<std::pair<std::string, Moment>>;

/// Looks into states of the disk until one breaks the promise; states seen before are not looked at again.
class PowerCuts {
 public:
  PowerCuts(const SaveStage& stage, const std::vector<DiskOperation>& operations, Seen& seen)
      : stage_(stage), operations_(operations), model_(stage.before(), operations), seen_(seen) {
    for (std::size_t at = 0; at < operations.size(); ++at) {
      if (operations[at].record.kind == IoKind::mark) saved_at_ = std::min(saved_at_, at);
    }
  }

  /// Every cut behind `first` operations or more, with what is pending taken by kind: new names, removed ones, moved
  /// ones, bytes; all, none, zeros. And all but one change of a name.
  bool holds_by_kind(std::size_t first = 0) {
    for (std::size_t done = first; done <= model_.size(); ++done) {
      for (unsigned kinds = 0; kinds < 24; ++kinds) {
        if (!look(done, [&](const Change& change) { return by_kind(change, kinds); })) return false;
      }
      for (const Change* const one : model_.pending(done)) {
        if (one->is_name() && !look(done, [&](const Change& change) { return Fate{&change != one}; })) return false;
      }
    }
    return true;
  }

  /// States drawn by chance until `states` different ones were seen in all.
  bool holds_by_chance(std::mt19937_64& random, std::size_t states) {
    constexpr std::array<std::uint64_t, 5> quarters = {0, 2, 3, 4, 4};
    for (std::size_t draws = 0; seen_.size() < states && draws < 100 * states; ++draws) {
      const std::size_t done = random() % (model_.size() + 1);
      // Between nothing and all, for names and bytes apart.
      const std::uint64_t names = quarters[random() % 5], bytes = quarters[random() % 5];
      const auto choose = [&](const Change& change) {
        const bool applied = random() % 4 < (change.is_name() ? names : bytes);
        return Fate{.applied = applied, .sectors = random() % 2 == 0 ? ~std::uint64_t{0} : random()};
      };
      if (!look(done, choose)) return false;
    }
    return true;
  }

  const std::string& broken() const { return broken_; }

 private:
  static Fate by_kind(const Change& change, unsigned kinds) {
    switch (change.kind) {
      case ChangeKind::add:
        return {(kinds & 1) != 0};
      case ChangeKind::remove:
        return {(kinds & 2) != 0};
      case ChangeKind::move:
      case ChangeKind::exchange:
        return {(kinds & 4) != 0};
      default:
        return {.applied = kinds / 8 != 0, .sectors = kinds / 8 == 1 ? 0 : ~std::uint64_t{0}};
    }
  }

  bool look(std::size_t done, const DiskModel::Choose& choose) {
    const DiskImage image = model_.state(done, choose);
    const Moment moment = done > saved_at_ ? Moment::saved : Moment::saving;
    if (!seen_.insert({hash_image(image).hex(), moment}).second) return true;
    write_image(image, stage_.run());
    broken_ = broken_promise(stage_.checkpoints(), stage_.save(), moment);
    if (broken_.empty()) return true;
    const std::string last = done == 0 ? "nothing" : operations_[done - 1].text();
    broken_ = fmt::format("power cut behind operation {} ({}): {}", done, last, broken_);
    return false;
  }

  const SaveStage& stage_;
  const std::vector<DiskOperation>& operations_;
  DiskModel model_;
  std::size_t saved_at_ = ~std::size_t{0};
  Seen& seen_;
  std::string broken_;
};

std::size_t operations_in(const std::vector<DiskOperation>& journal) {
  return static_cast<std::size_t>(
      std::ranges::count_if(journal, [](const auto& entry) { return entry.record.kind != IoKind::mark; }));
}

class CheckpointPower : public testing::TestWithParam<SaveCase> {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "skipped: a program built with AddressSanitizer takes no preloaded library";
#endif
  }
};

TEST_P(CheckpointPower, cut_at_any_instant_leaves_old_or_new) {
  const SaveStage stage(GetParam());
  const auto operations = stage.peaceful_journal();
  const auto states = static_cast<std::size_t>(power_number("TRIREME_POWER_STATES", 500));
  const std::int64_t seed = power_number("TRIREME_POWER_SEED", std::random_device{}());
  SCOPED_TRACE(fmt::format("again: TRIREME_POWER_SEED={} TRIREME_POWER_STATES={}", seed, states));
  std::mt19937_64 random(static_cast<std::uint64_t>(seed));
  Seen seen;
  PowerCuts cuts(stage, operations, seen);
  ASSERT_TRUE(cuts.holds_by_kind() && cuts.holds_by_chance(random, states)) << cuts.broken();
  EXPECT_GE(seen.size(), states) << "so many states differ";
  fmt::print("{} states of the disk, seed {}\n", seen.size(), seed);
}

/// The journal of a process killed before operation `n` and of the next one, which goes through.
std::vector<DiskOperation> killed_and_started(const SaveStage& stage, std::size_t n, Start start) {
  const std::string journal = stage.new_journal();
  const SaverEnd killed = stage.run_with({journal, fmt::format("TRIREME_SHIM_DIE_AT={}", n)});
  require(killed.code == 137, "not killed at operation {}: {} {}", n, killed.code, killed.message);
  const SaverEnd end = stage.go_on_with({journal}, start);
  require(end.code == 0, "killed at operation {}, the next one ended with {}: {}", n, end.code, end.message);
  return stage.journal();
}

// Whoever comes after a killed process removes what that left, and must not be quicker than the disk.
TEST_P(CheckpointPower, cut_after_a_kill_and_a_new_start) {
  const SaveStage stage(GetParam());
  const std::size_t operations = operations_in(stage.peaceful_journal());
  Seen seen;
  for (const Start start : {Start::clean, Start::save}) {
    for (std::size_t n = 1; n <= operations; ++n) {
      const auto both = killed_and_started(stage, n, start);
      PowerCuts cuts(stage, both, seen);
      ASSERT_TRUE(cuts.holds_by_kind(n - 1)) << "killed before operation " << n << ", then " << cuts.broken();
    }
  }
}

TEST_P(CheckpointPower, cut_after_a_failed_operation) {
  const SaveStage stage(GetParam());
  const std::size_t operations = operations_in(stage.peaceful_journal());
  Seen seen;
  for (std::size_t n = 1; n <= operations; ++n) {
    const std::string journal = stage.new_journal();
    stage.run_with({journal, fmt::format("TRIREME_SHIM_FAIL_AT={}", n), "TRIREME_SHIM_ERROR=EIO"});
    const auto all = stage.journal();
    PowerCuts cuts(stage, all, seen);
    ASSERT_TRUE(cuts.holds_by_kind(n)) << "operation " << n << " failed, then " << cuts.broken();
  }
}

/// What breaks where one operation, an fsync, is taken away; empty: nothing.
std::string broken_without(const SaveStage& stage, std::vector<DiskOperation> operations, std::size_t at) {
  operations.erase(operations.begin() + static_cast<std::ptrdiff_t>(at));
  Seen seen;
  PowerCuts cuts(stage, operations, seen);
  cuts.holds_by_kind(at);
  return cuts.broken();
}

bool is_sync_of_run(const DiskOperation& operation) {
  return operation.record.kind == IoKind::sync && operation.path == ".";
}

/// Saves that find nothing of another process: what they sync before they remove that may be on the disk already.
std::vector<SaveCase> cases_without_leftovers() {
  std::vector<SaveCase> cases = save_cases();
  std::erase_if(cases, [](const SaveCase& save) { return save.leftovers != Leftovers::none; });
  return cases;
}

class CheckpointSync : public CheckpointPower {};
class CheckpointFirstSync : public CheckpointPower {};

TEST_P(CheckpointSync, cannot_be_spared) {
  const SaveStage stage(GetParam());
  const auto operations = stage.peaceful_journal();
  for (std::size_t at = 0; at < operations.size(); ++at) {
    if (operations[at].record.kind != IoKind::sync) continue;
    const std::string broken = broken_without(stage, operations, at);
    // A folder that was there may have been made by a process that was killed at once: see the test below.
    const bool spare = is_sync_of_run(operations[at]) && !GetParam().before.empty();
    EXPECT_EQ(broken.empty(), spare) << operations[at].text() << ": " << broken;
    fmt::print("without {}: {}\n", operations[at].text(), broken.empty() ? "nothing breaks" : broken.substr(0, 200));
  }
}

TEST_P(CheckpointFirstSync, is_made_up_for_by_the_next_process) {
  const SaveStage stage(GetParam());
  const auto peaceful = stage.peaceful_journal();
  const auto made = std::ranges::find(peaceful, IoKind::mkdir, [](const auto& entry) { return entry.record.kind; });
  ASSERT_EQ(made->path, "checkpoints");
  const auto both = killed_and_started(stage, static_cast<std::size_t>(made - peaceful.begin()) + 2, Start::save);
  const auto sync = std::ranges::find_if(both, is_sync_of_run);
  ASSERT_NE(sync, both.end());
  EXPECT_NE(broken_without(stage, both, static_cast<std::size_t>(sync - both.begin())), "");
}

std::string power_name(const testing::TestParamInfo<SaveCase>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Save, CheckpointPower, testing::ValuesIn(save_cases()), power_name);
INSTANTIATE_TEST_SUITE_P(Save, CheckpointSync, testing::ValuesIn(cases_without_leftovers()), power_name);
INSTANTIATE_TEST_SUITE_P(Save, CheckpointFirstSync, testing::Values(save_cases().front()), power_name);

}  // namespace
}  // namespace trireme
