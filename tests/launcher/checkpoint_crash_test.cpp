// Law 6 for a process that ends or is refused: a save is cut off before each of its operations on files, in the middle
// of each write, and each operation fails in each way it can. What is published must be old and whole or new and whole,
// and the next save must go through. Power cuts are in checkpoint_power_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "core/base/error.hpp"
#include "tests/support/saver_process.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

bool is_operation(const DiskOperation& entry) { return entry.record.kind != IoKind::mark; }

/// The operations the shim numbers, and how many of them come before commit() has returned.
struct Numbered {
  std::vector<DiskOperation> operations;
  std::size_t saving = 0;
};

Numbered numbered(const std::vector<DiskOperation>& journal) {
  Numbered found;
  for (const DiskOperation& entry : journal) {
    if (is_operation(entry)) {
      found.operations.push_back(entry);
    } else {
      found.saving = found.operations.size();
    }
  }
  return found;
}

class CheckpointCrash : public testing::TestWithParam<SaveCase> {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "skipped: a program built with AddressSanitizer takes no preloaded library";
#endif
    stage_.emplace(GetParam());
    save_ = numbered(stage_->peaceful_journal());
    // Two files and a manifest are made, written, synced, and renamed: fewer operations would mean the shim is blind.
    ASSERT_GT(save_.operations.size(), 15U);
    ASSERT_GT(save_.saving, 15U) << "commit() was not seen to return";
  }

  /// Whoever comes after must find the promise kept, clear away what lies about, and save.
  std::string trouble_after(Moment moment) const {
    const CheckpointStore store(stage_->checkpoints());
    std::string trouble = broken_promise(store.folder(), GetParam(), moment);
    if (!trouble.empty()) return trouble;
    try {
      store.clean();
      if (const auto left = hidden(); !left.empty()) return left + " is still there after clean()";
      trouble = broken_promise(store.folder(), GetParam(), moment);
      if (!trouble.empty()) return "after clean(): " + trouble;
      save_sample(store, GetParam().next);
    } catch (const Error& error) {
      return fmt::format("saving again failed: {}", error.what());
    }
    trouble = broken_promise(store.folder(), GetParam(), Moment::saved);
    return trouble.empty() ? "" : "after saving again: " + trouble;
  }

  /// A .partial or .trash folder, if there is one.
  std::string hidden() const {
    if (!fs::exists(stage_->checkpoints())) return "";
    for (const auto& entry : fs::directory_iterator(stage_->checkpoints())) {
      if (entry.path().filename().string().starts_with(".")) return entry.path().filename().string();
    }
    return "";
  }

  std::optional<SaveStage> stage_;
  Numbered save_;
};

TEST_P(CheckpointCrash, killed_before_every_operation_and_within_every_write) {
  std::string broken;
  std::size_t kills = 0;
  for (std::size_t n = 1; n <= save_.operations.size(); ++n) {
    const DiskOperation& next = save_.operations[n - 1];
    const bool is_write = next.record.kind == IoKind::write;
    for (const char* half : {"0", "1"}) {
      if (half[0] == '1' && !is_write) continue;
      const SaverEnd end =
          stage_->run_with({fmt::format("TRIREME_SHIM_DIE_AT={}", n), fmt::format("TRIREME_SHIM_HALF={}", half)});
      std::string trouble = end.code == 137 ? "" : fmt::format("it was not killed but ended with {}", end.code);
      if (trouble.empty()) trouble = trouble_after(n > save_.saving ? Moment::saved : Moment::saving);
      if (!trouble.empty()) broken += fmt::format("killed at operation {}, {}: {}\n", n, next.text(), trouble);
      ++kills;
    }
  }
  EXPECT_EQ(broken, "");
  fmt::print("{} kills\n", kills);
}

struct Failure {
  std::string error;
  bool lasting;
};

/// Which failures an operation knows. A signal interrupts what may wait; only a write can be short.
bool fits(const Failure& failure, IoKind kind) {
  if (failure.error == "short") return kind == IoKind::write;
  if (failure.error == "EINTR") return kind == IoKind::write || kind == IoKind::extend || kind == IoKind::sync;
  return true;
}

class CheckpointError : public CheckpointCrash {
 protected:
  std::string trouble_of(const Failure& failure, std::size_t n) const {
    const SaverEnd end =
        stage_->run_with({fmt::format("TRIREME_SHIM_FAIL_AT={}", n), "TRIREME_SHIM_ERROR=" + failure.error,
                          fmt::format("TRIREME_SHIM_LASTING={}", failure.lasting ? 1 : 0)});
    const bool harmless = failure.error == "short" || failure.error == "EINTR";
    const bool saved = end.code == static_cast<int>(ExitCode::done);
    if (!saved && (harmless || end.code != static_cast<int>(ExitCode::storage))) {
      return fmt::format("it ended with {}: {}", end.code, end.message);
    }
    if (!saved && end.message.find(stage_->run()) == std::string::npos) return "no path in: " + end.message;
    // A single failure leaves the disk fit to clear away what was begun.
    if (!saved && !failure.lasting && hidden().ends_with(".partial")) return hidden() + " was left";
    return trouble_after(saved || n > save_.saving ? Moment::saved : Moment::saving);
  }
};

TEST_P(CheckpointError, at_every_operation) {
  std::string broken;
  std::size_t failures = 0;
  const Failure kinds[] = {{"EIO", false},   {"EIO", true},    {"ENOSPC", false}, {"ENOSPC", true},
                           {"EINTR", false}, {"short", false}, {"short", true}};
  for (std::size_t n = 1; n <= save_.operations.size(); ++n) {
    for (const Failure& failure : kinds) {
      const DiskOperation& next = save_.operations[n - 1];
      if (!fits(failure, next.record.kind)) continue;
      const std::string trouble = trouble_of(failure, n);
      ++failures;
      if (!trouble.empty()) {
        broken += fmt::format("{}{} at operation {}, {}: {}\n", failure.error, failure.lasting ? " from there on" : "",
                              n, next.text(), trouble);
      }
    }
  }
  EXPECT_EQ(broken, "");
  fmt::print("{} failures\n", failures);
}

std::string crash_name(const testing::TestParamInfo<SaveCase>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Save, CheckpointCrash, testing::ValuesIn(save_cases()), crash_name);
INSTANTIATE_TEST_SUITE_P(Save, CheckpointError, testing::ValuesIn(save_cases()), crash_name);

}  // namespace
}  // namespace trireme
