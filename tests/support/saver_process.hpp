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

/// What a process does first: clear away what an earlier one left, or not.
enum class Start { save, clean };

struct SaverOrder {
  std::string folder;  ///< Of the checkpoints.
  Sample sample;
  Start start = Start::save;
  std::vector<std::string> shim = {};  ///< "TRIREME_SHIM_DIE_AT=3", ...; empty: without the shim.
  rlim_t file_limit = RLIM_INFINITY;   ///< Bytes a file may have.
};

struct SaverEnd {
  int code = 0;  ///< Exit status; 128 + signal; hung where it did not end within 60 s.
  std::string message;
  static constexpr int hung = -1;
};

SaverEnd run_saver(const SaverOrder& order);

/// What an earlier process left in the folder: nothing; what it had begun; the newest under the name that it has while
/// it is replaced on a file system without exchange, and one that was being removed.
enum class Leftovers { none, partial, replaced };

/// Whether two names can be exchanged. Where they cannot, a replaced checkpoint is back only after clean().
enum class Exchange { possible, missing };

/// A save of `next` into a folder that holds `before`.
struct SaveCase {
  std::string name;
  std::vector<Sample> before;
  Sample next;
  std::vector<Sample> always;  ///< Stay, whatever happens.
  Leftovers leftovers = Leftovers::none;
  Exchange exchange = Exchange::possible;

  Start start() const { return leftovers == Leftovers::replaced ? Start::clean : Start::save; }
  bool promised_after_clean() const { return leftovers == Leftovers::replaced || exchange == Exchange::missing; }
};

/// What a test is called by.
inline void PrintTo(const SaveCase& save, std::ostream* out) { *out << save.name; }

/// The first save of a run, the second, one upon which an older one is removed, those that replace their own step, and
/// those that find what a killed process left.
std::vector<SaveCase> save_cases();

enum class Moment { saving, saved };

/// What breaks the promise in a folder of checkpoints, at this moment of the save; empty: nothing. Each that is listed
/// must be whole and exactly one of those saved, the newest must be old or new, once saved new. It may call clean().
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
  SaverEnd run_with(const std::vector<std::string>& shim) const;
  /// Runs it on what is there.
  SaverEnd go_on_with(const std::vector<std::string>& shim, Start start) const;
  /// Where a journal is to be: "TRIREME_SHIM_JOURNAL=..." of a new one, for all runs that follow.
  std::string new_journal() const;
  /// What was done since new_journal(), in order. Throws where that does not explain every byte there is now.
  std::vector<DiskOperation> journal() const;
  /// Resets and runs it in peace: what it does.
  std::vector<DiskOperation> peaceful_journal() const;

 private:
  std::string journal_file() const { return scratch_ / "journal"; }

  SaveCase save_;
  TempDir scratch_;
  DiskImage before_;
};

}  // namespace trireme
