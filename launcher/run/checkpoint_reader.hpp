// Reading a published checkpoint. Whatever read() gives was checked against its checksum first; what is damaged is an
// Error(corrupt_input) that names file and tensor, and where the system cannot read it is an Error(storage). Sizes are
// checked before memory is taken. Files are read, not mapped: a disk that fails under a mapping kills the process.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launcher/run/checkpoint_manifest.hpp"

namespace trireme {

/// Several threads may read through one reader.
class CheckpointReader {
 public:
  /// Reads the manifest of `folder`; the folder's name must be that of the manifest's step. Every file must be there
  /// (a regular file, no link) with its size. corrupt_input otherwise.
  explicit CheckpointReader(const std::string& folder);
  CheckpointReader(CheckpointReader&&) noexcept;
  CheckpointReader& operator=(CheckpointReader&&) noexcept;
  ~CheckpointReader();

  const std::string& folder() const { return folder_; }
  const CheckpointManifest& manifest() const { return manifest_; }
  /// Null where there is no such tensor.
  const SavedTensor* find(const std::string& plane, const std::string& name) const;
  /// Copies elements [first, first + count) to `out`; reads the pieces they touch and no others. After an Error `out`
  /// may hold anything.
  void read(const SavedTensor& tensor, std::int64_t first, std::int64_t count, void* out) const;
  /// Checks the bytes of one file outside all pieces.
  void check_structure(const SavedFile& file) const;
  /// Checks all bytes of a piece.
  void check_piece(const SavedTensor& tensor, const SavedPiece& piece) const;

 private:
  struct Files;
  std::string folder_;
  CheckpointManifest manifest_;
  std::unique_ptr<Files> files_;
};

/// The manifest in `folder`, which must have the name of its step; corrupt_input otherwise. Looks at no other file.
CheckpointManifest read_manifest(const std::string& folder);

/// Everything wrong with a checkpoint, a line each with file and tensor; empty: every byte is as it was written, and
/// there is nothing else in the folder. Reads on where it can, a block at a time.
/// `progress` (may be empty) hears how many bytes of how many are checked.
std::vector<std::string> verify_checkpoint(const std::string& folder,
                                           const std::function<void(std::int64_t, std::int64_t)>& progress = {});

}  // namespace trireme
