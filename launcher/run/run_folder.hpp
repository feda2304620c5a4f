// The folder of one run: config.ini (the options as used), metrics.jsonl, logs/, later checkpoints. Only its owner may
// read it (0700, files 0600). One process of a job makes it; the others are told its path. Errors: usage where the
// folder is taken, storage where the file system refuses.
#pragma once

#include <string>

namespace trireme {

/// What to do with a folder that is not empty. `overwrite` removes only what a run writes, and only from a folder that
/// holds a run; `resume` needs a run there and keeps everything.
enum class ExistingRun { refuse, overwrite, resume };

struct RunFolderSettings {
  std::string name = {};  // under `parent`; empty: the date and time
  std::string parent = "runs";
  std::string path = {};  // given instead of parent and name (--run-dir)
  ExistingRun existing = ExistingRun::refuse;
};

class RunFolder {
 public:
  explicit RunFolder(const RunFolderSettings& settings);

  const std::string& path() const { return path_; }
  std::string config_file() const { return path_ + "/config.ini"; }
  std::string metrics_file() const { return path_ + "/metrics.jsonl"; }
  std::string log_folder() const { return path_ + "/logs"; }

  /// Writes config.ini atomically; `ini` is OptionSet::to_ini().
  void write_config(const std::string& ini) const;
  /// Writes another small file of the run atomically.
  void write_file(const std::string& name, const std::string& text) const;

 private:
  std::string path_;
};

}  // namespace trireme
