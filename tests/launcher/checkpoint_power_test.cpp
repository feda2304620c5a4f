// Law 6 for power cuts: the operations of one save are replayed into every kind of disk a cut at any of them may leave
// (tests/support/disk_model.hpp). In each, every listed checkpoint is whole, the newest is the old or the new one, and
// the new one once commit() has returned. Then each fsync of the save is taken away, and the promise must break.
#include <gtest/gtest.h>

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

std::int64_t number_from(const char* name, std::int64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

/// Looks into states of the disk until one breaks the promise; states seen before are not looked at again.
class PowerCuts {
 public:
  PowerCuts(const SaveStage& stage, const std::vector<DiskOperation>& operations)
      : stage_(stage), operations_(operations), model_(stage.before(), operations) {
    for (std::size_t at = 0; at < operations.size(); ++at) {
      if (operations[at].record.kind == IoKind::mark) saved_at_ = at;
    }
  }

  /// Every cut, with what is pending taken by kind: new names, removed ones, moved ones, bytes; all, none, zeros. And
  /// all but one change of a name.
  bool holds_by_kind() {
    for (std::size_t done = 0; done <= model_.size(); ++done) {
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
    for (std::size_t draws = 0; seen_.size() < states && draws < 20 * states; ++draws) {
      const std::size_t done = random() % (model_.size() + 1);
      // Between nothing and all, for names and bytes apart.
      const std::uint64_t names = random() % 5, bytes = random() % 5;
      const auto choose = [&](const Change& change) {
        const bool applied = random() % 4 < (change.is_name() ? names : bytes);
        return Fate{.applied = applied, .sectors = random() % 2 == 0 ? ~std::uint64_t{0} : random()};
      };
      if (!look(done, choose)) return false;
    }
    return true;
  }

  std::size_t states() const { return seen_.size(); }
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
  std::set<std::pair<std::string, Moment>> seen_;
  std::string broken_;
};

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
  const auto operations = stage.journal();
  const auto states = static_cast<std::size_t>(number_from("TRIREME_POWER_STATES", 500));
  const std::int64_t seed = number_from("TRIREME_POWER_SEED", std::random_device{}());
  SCOPED_TRACE(fmt::format("again: TRIREME_POWER_SEED={} TRIREME_POWER_STATES={}", seed, states));
  std::mt19937_64 random(static_cast<std::uint64_t>(seed));
  PowerCuts cuts(stage, operations);
  EXPECT_TRUE(cuts.holds_by_kind() && cuts.holds_by_chance(random, states)) << cuts.broken();
  EXPECT_TRUE(testing::Test::HasFailure() || cuts.states() >= states) << "only " << cuts.states() << " states differ";
  fmt::print("{} states of the disk, seed {}\n", cuts.states(), seed);
}

std::string name_of(const testing::TestParamInfo<SaveCase>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Save, CheckpointPower, testing::ValuesIn(save_cases()), name_of);

/// "sync checkpoints/.step_N.partial, 2nd": the same fsync has the same name in every case.
std::string name_of_sync(const std::vector<DiskOperation>& operations, std::size_t at, std::int64_t step) {
  int which = 0;
  for (std::size_t i = 0; i <= at; ++i) {
    if (operations[i].record.kind == IoKind::sync && operations[i].path == operations[at].path) ++which;
  }
  std::string path = operations[at].path;
  const std::string name = checkpoint_name(step);
  const std::size_t found = path.find(name);
  if (found != std::string::npos) path.replace(found, name.size(), "step_N");
  return fmt::format("{} #{}", path, which);
}

/// Fsyncs of a save that a disk needs in no case here, with the reason why they stay all the same.
const std::map<std::string, std::string> spare_syncs = {};

TEST(CheckpointPower, every_fsync_is_needed) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "skipped: a program built with AddressSanitizer takes no preloaded library";
#endif
  std::map<std::string, std::string> needed;  // what breaks without it; empty: nothing
  for (const SaveCase& save : save_cases()) {
    const SaveStage stage(save);
    const auto operations = stage.journal();
    for (std::size_t at = 0; at < operations.size(); ++at) {
      if (operations[at].record.kind != IoKind::sync) continue;
      std::string& broken = needed[name_of_sync(operations, at, save.next.step)];
      if (!broken.empty()) continue;
      auto without = operations;
      without.erase(without.begin() + static_cast<std::ptrdiff_t>(at));
      PowerCuts cuts(stage, without);
      std::mt19937_64 random(1);
      if (!cuts.holds_by_kind() || !cuts.holds_by_chance(random, 500)) broken = save.name + ": " + cuts.broken();
    }
  }
  for (const auto& [sync, broken] : needed) {
    fmt::print("without {}: {}\n", sync, broken.empty() ? "nothing breaks" : broken);
    EXPECT_EQ(broken.empty(), spare_syncs.contains(sync)) << sync << (broken.empty() ? " is not needed" : " is needed");
  }
}

}  // namespace
}  // namespace trireme
