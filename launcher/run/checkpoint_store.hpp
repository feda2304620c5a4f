// The folder of a run's checkpoints: step_NNNNNNNN for whole ones, .step_NNNNNNNN.partial while one is written,
// .step_NNNNNNNN.trash while one is removed (.replaced where a file system cannot exchange old and new). One process of
// a job calls this; whatever instant it dies or the power goes, a step_ folder that is there is whole. Errors: storage
// with the path and the system's words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/run/checkpoint_manifest.hpp"

namespace trireme {

/// Which checkpoints stay: the newest `last` (at least 2 are always kept), and every one whose step is a multiple of
/// `every` (0: none).
struct KeepRule {
  std::int64_t last = 2;
  std::int64_t every = 0;
};

class CheckpointStore {
 public:
  struct Entry {
    std::int64_t step = 0;
    std::string path;
  };
  /// Nothing is made before begin().
  explicit CheckpointStore(std::string folder) : folder_(std::move(folder)) {}
  const std::string& folder() const { return folder_; }

  /// Published checkpoints, oldest first; empty where there is no folder.
  std::vector<Entry> list() const;
  /// An empty folder to write the files of `step` into (0700), with what an earlier attempt left removed. The folder's
  /// own entry in its parent is on the disk when it returns.
  std::string begin(std::int64_t step) const;
  /// Writes the manifest, syncs, renames, syncs. The files must be on the disk already; a manifest that no reader would
  /// take (corrupt_input), or a file that is not there with its size, publishes nothing. An older checkpoint of the
  /// same step is replaced. Returns the path.
  std::string commit(const CheckpointManifest& manifest) const;
  /// Removes what begin() made; never throws.
  void abandon(std::int64_t step) const noexcept;
  /// Removes checkpoints the rule does not keep, oldest first, each by rename to .trash and then removal. Removes
  /// nothing unless the two newest are whole as far as manifest and file sizes tell. Returns the steps removed.
  std::vector<std::int64_t> prune(const KeepRule& rule) const;
  /// Removes what a killed process left behind under hidden names. Only the holder of the run folder's lock may.
  void clean() const;

 private:
  std::string folder_;
};

}  // namespace trireme
