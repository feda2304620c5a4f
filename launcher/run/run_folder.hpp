// The folder of one run: config.ini (the options as used; config.1.ini, config.2.ini, ... are those of earlier starts),
// metrics.jsonl, logs/, checkpoints/, tensorboard/, lock. Only its owner may read it (0700, files 0600). One process of
// a job makes it and keeps every other run out of it while the object lives (run_lock.hpp); the others are told its
// path. Errors: usage where the folder is taken, storage where the file system refuses.
#pragma once

#include <optional>
#include <string>

#include "launcher/run/run_lock.hpp"

namespace trireme {

/// What to do with a folder that is not empty. `overwrite` removes only what a run writes, and only from a folder that
/// holds a run; `resume` needs a run there and keeps everything; `open_or_create` keeps a run where there is one and
/// makes one where the folder is empty or missing. What a run left that was killed before it began counts as nothing.
enum class ExistingRun { refuse, overwrite, resume, open_or_create };

struct RunFolderSettings {
  std::string name = {};  // under `parent`; empty: the date and time
  std::string parent = "runs";
  std::string path = {};  // given instead of parent and name (--run-dir)
  ExistingRun existing = ExistingRun::refuse;
};

class RunFolder {
 public:
  /// A folder that is refused stays as it is; nothing is removed or written before the lock is held.
  explicit RunFolder(const RunFolderSettings& settings);

  /// Whether a run was there that goes on now.
  bool existed() const { return existed_; }
  const std::string& path() const { return path_; }
  std::string config_file() const { return path_ + "/config.ini"; }
  std::string metrics_file() const { return path_ + "/metrics.jsonl"; }
  std::string log_folder() const { return path_ + "/logs"; }
  /// Not made here: whoever writes the first file into it does.
  std::string checkpoint_folder() const { return path_ + "/checkpoints"; }
  std::string tensorboard_folder() const { return path_ + "/tensorboard"; }

  /// Writes config.ini atomically; `ini` is OptionSet::to_ini(). Where an earlier start had other values, its file is
  /// kept as config.N.ini, the next free N.
  void write_config(const std::string& ini) const;
  /// Writes another small file of the run atomically.
  void write_file(const std::string& name, const std::string& text) const;

 private:
  void check(const RunFolderSettings& settings) const;
  bool holds_run() const;

  std::string path_;
  std::optional<RunLock> lock_;
  bool existed_ = false;
};

}  // namespace trireme
