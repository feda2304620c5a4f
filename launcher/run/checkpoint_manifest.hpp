// What a checkpoint is (docs/checkpoints.md): a folder step_NNNNNNNN with manifest.json and one HDF5 file per rank that
// saved. This header has the manifest as plain values and its text form; nothing here touches tensors. Every byte of
// every file is covered by one checksum: those of a piece by the piece's, all others by the file's `structure`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/hash.hpp"
#include "core/io/json.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/shape.hpp"

namespace trireme {

inline constexpr std::string_view checkpoint_format = "trireme-checkpoint";
/// Readers take this version and all older ones.
inline constexpr std::int64_t checkpoint_version = 1;
inline constexpr const char* manifest_file = "manifest.json";

/// Elements [first, first + count) of a tensor, flat and row-major, as they lie in one file.
struct SavedPiece {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::string file;         ///< Name inside the folder.
  std::string dataset;      ///< Name of the HDF5 dataset of one dim that holds the piece.
  std::int64_t offset = 0;  ///< Byte in the file at which its elements begin.
  Hash128 hash;             ///< XXH3-128 of its bytes.
  friend bool operator==(const SavedPiece&, const SavedPiece&) = default;
};

struct SavedTensor {
  std::string plane;  ///< "param", "moment1", "moment2", "average" or "state".
  std::string name;   ///< Global name of the parameter or state.
  DType dtype = DType::f32;
  Shape shape;
  std::vector<SavedPiece> pieces;  ///< In order; they cover all elements without gap or overlap.
  /// "param/0.weight": how messages and commands name it.
  std::string label() const { return plane + "/" + name; }
  friend bool operator==(const SavedTensor&, const SavedTensor&) = default;
};

struct SavedFile {
  std::string name;
  std::int64_t bytes = 0;
  Hash128 structure;  ///< XXH3-128 of all bytes that belong to no piece, in file order.
  friend bool operator==(const SavedFile&, const SavedFile&) = default;
};

struct CheckpointManifest {
  std::int64_t step = 0;     ///< Optimizer steps done.
  std::int64_t samples = 0;  ///< Position in the global sample stream.
  std::int64_t ranks = 0;    ///< That saved it.
  std::string version;       ///< Of trireme.
  std::string created;       ///< UTC, "2026-11-24T08:15:00Z".
  std::string data;          ///< Fingerprint of the training data.
  Json options;              ///< Option name -> value, as the run used them.
  Json trainer;              ///< Further numbers of the trainer.
  std::vector<SavedFile> files;
  std::vector<SavedTensor> tensors;

  /// One JSON object that carries a checksum of the rest.
  std::string to_text() const;
  /// Reads what to_text() wrote. ExitCode::corrupt_input naming `path` and the entry for anything else: not a byte may
  /// differ. Checked: format, version, checksum, safe file names (no '/', no leading '.'), every piece inside its file,
  /// pieces of a file not overlapping, pieces of a tensor covering it exactly, sizes that overflow nothing.
  static CheckpointManifest parse(const std::string& text, const std::string& path);
};

/// "step_00000100".
std::string checkpoint_name(std::int64_t step);
/// The step of such a name; -1 for any other name.
std::int64_t checkpoint_step(std::string_view name);

}  // namespace trireme
