// Imports NumPy arrays (.npy): each becomes a field of a data set, its first dim counts the samples.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/format.hpp"
#include "datasets/on_error.hpp"
#include "datasets/set_aside.hpp"
#include "datasets/staged_folder.hpp"

namespace trireme {

/// A field and the file that holds its values.
struct NpySource {
  std::string field, path;
};

struct NpyImport {
  std::vector<NpySource> sources = {};
  /// Of the split "test": the same fields; empty: none, or what `set_aside` says.
  std::vector<NpySource> test_sources = {};
  SetAside set_aside = {};
  std::string out = {};
  /// Empty: the folder's name.
  std::string name = {};
  /// Of a field "label"; empty: "0", "1", ... up to its largest value in the split "train".
  std::vector<std::string> classes = {};
  OnError on_error = OnError::stop;
  std::int64_t shard_rows = 0;
  std::int64_t compress = 0;  ///< See WriterOptions.
  Existing existing = Existing::refuse;
};

/// Makes a data set with a field for each source, of NpyHeader::dtype(). Two names have a meaning: "label" must be one
/// whole number for each sample and becomes i32 () with class names; "image" of (count, H, W) becomes (H, W, 1).
/// ExitCode::corrupt_input, with file and place, for what NpyFile refuses, arrays of different lengths, labels without
/// a class, and numbers that are not finite; with OnError::skip samples with the last two are left out. Memory: blocks
/// of about 4 MiB, and a bit for each sample.
DatasetIndex import_npy(const NpyImport& import);

}  // namespace trireme
