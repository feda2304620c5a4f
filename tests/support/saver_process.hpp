// Runs the program checkpoint_saver, alone or under io_shim, and the situations in which it is run: what the folder of
// checkpoints holds before, and what may be found in it whatever happens.
#pragma once

#include <sys/resource.h>

#include <ostream>
#include <string>
#include <vector>

#include "tests/support/disk_model.hpp"
#include "tests/support/sample_checkpoint.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {

struct SaverOrder {
  std::string folder;  ///< Of the checkpoints.
  Sample sample;
  std::vector<std::string> shim = {};  ///< "TRIREME_SHIM_DIE_AT=3", ...; empty: without the shim.
  rlim_t file_limit = RLIM_INFINITY;   ///< Bytes a file may have.
};

struct SaverEnd {
  int code = 0;  ///< Exit status; 128 + signal; hung where it did not end within 60 s.
  std::string message;
  static constexpr int hung = -1;
};

SaverEnd run_saver(const SaverOrder& order);

/// A save of `next` into a folder that holds `before`.
struct SaveCase {
  std::string name;
  std::vector<Sample> before;
  Sample next;
  std::vector<Sample> always;                                          ///< Stay, whatever happens.
  enum class Leftovers { none, partial } leftovers = Leftovers::none;  ///< Of a save that was killed before.
};

/// What a test is called by.
inline void PrintTo(const SaveCase& save, std::ostream* out) { *out << save.name; }

/// The first save of a run, the second, one that replaces the same step, one that finds what a killed one left, and one
/// upon which an older one is removed.
std::vector<SaveCase> save_cases();

enum class Moment { saving, saved };

/// What breaks the promise in a folder of checkpoints, at this moment of the save; empty: nothing. Each that is listed
/// must be whole and exactly one of those saved, the newest must be old or new, once saved new.
std::string broken_promise(const std::string& folder, const SaveCase& save, Moment moment);

/// A folder of its own with a run in it, which reset() brings to the state before the save.
class SaveStage {
 public:
  explicit SaveStage(const SaveCase& save);

  /// What the shim watches.
  std::string run() const { return scratch_ / "run"; }
  std::string checkpoints() const { return run() + "/checkpoints"; }
  const SaveCase& save() const { return save_; }
  const DiskImage& before() const { return before_; }
  void reset() const { write_image(before_, run()); }
  /// Resets, then runs the saver.
  SaverEnd run_with(std::vector<std::string> shim) const;
  /// Resets and runs it in peace: what it does, in order. Throws where the journal does not explain every byte there is
  /// afterwards.
  std::vector<DiskOperation> journal() const;

 private:
  SaveCase save_;
  TempDir scratch_;
  DiskImage before_;
};

}  // namespace trireme
