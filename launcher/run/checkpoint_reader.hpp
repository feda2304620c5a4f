// Reading a published checkpoint. Whatever read() gives was checked against its checksum first; what is damaged is an
// Error(corrupt_input) that names file and tensor. Sizes are checked before memory is taken.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/io/mapped_file.hpp"
#include "launcher/run/checkpoint_manifest.hpp"

namespace trireme {

class CheckpointReader {
 public:
  /// Reads the manifest of `folder`; the folder's name must be that of the manifest's step. Every file must be there
  /// (a regular file, no link) with its size. corrupt_input otherwise.
  explicit CheckpointReader(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const CheckpointManifest& manifest() const { return manifest_; }
  /// Null where there is no such tensor.
  const SavedTensor* find(const std::string& plane, const std::string& name) const;
  /// Copies elements [first, first + count) to `out`; reads the pieces they touch and no others.
  void read(const SavedTensor& tensor, std::int64_t first, std::int64_t count, void* out) const;
  /// Checks the bytes of one file outside all pieces.
  void check_structure(const SavedFile& file) const;
  /// Checks all bytes of a piece.
  void check_piece(const SavedTensor& tensor, const SavedPiece& piece) const;

 private:
  const MappedFile& map_of(const std::string& file) const;
  std::string folder_;
  CheckpointManifest manifest_;
  std::map<std::string, MappedFile> maps_;
};

/// Everything wrong with a checkpoint, a line each with file and tensor; empty: every byte is as it was written.
/// `progress` (may be empty) hears how many bytes of how many are checked.
std::vector<std::string> verify_checkpoint(const std::string& folder,
                                           const std::function<void(std::int64_t, std::int64_t)>& progress = {});

}  // namespace trireme
