// The HDF5 file of one rank in a checkpoint: one contiguous dataset of one dim per piece, named PLANE.NAME, with the
// attributes name, plane, shape, first and xxh3_128 for people and other programs. We ourselves read by offset and
// checksum, never through the HDF5 library, so a damaged file cannot lead it astray.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "launcher/run/checkpoint_manifest.hpp"

namespace trireme {

/// Elements of a tensor to be saved: in host memory, or asked for block by block.
struct PieceSource {
  std::string plane;
  std::string name;
  DType dtype = DType::f32;
  Shape shape;  ///< Of the whole tensor.
  std::int64_t first = 0;
  std::int64_t count = 0;
  const void* data = nullptr;
  /// Asked where `data` is null: fills `out` with the bytes of the piece from `offset` on. Front to back, once.
  std::function<void(std::int64_t offset, std::span<std::byte> out)> ask = {};
};

/// What was written; `tensors` have the pieces of this file only, in the order they were given.
struct WrittenFile {
  SavedFile file;
  std::vector<SavedTensor> tensors;
  /// For the way to the rank that writes the manifest.
  std::string to_text() const;
  static WrittenFile from_text(const std::string& text);
};

/// Writes and syncs the file (0600); when it returns, every byte is on the disk and its structure was read back and
/// hashed. ExitCode::storage with path, bytes wanted and the system's words otherwise; what is there of the file then
/// stays. A process with a limit on file sizes must ignore SIGXFSZ to get that error. A rank without pieces writes a
/// file without datasets; a piece of no elements gets a dataset and no place in the manifest. `step` becomes an
/// attribute, so files of different steps differ even in equal weights.
WrittenFile write_checkpoint_file(const std::string& path, std::int64_t step, std::span<const PieceSource> pieces);

/// Joins what the ranks wrote: tensors in the order of their first appearance, pieces in order of `first`. disagree
/// where a tensor has two shapes or types.
void merge_written(CheckpointManifest& manifest, std::span<const WrittenFile> files);

}  // namespace trireme
