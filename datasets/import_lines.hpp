// Imports lines of text with a class each: a folder with a file CLASS.txt for each class, every line a sample, or files
// with lines TEXT<TAB>CLASS. Plain or gzip-compressed, read twice, with bounded memory.
#pragma once

#include <cstdint>
#include <string>

#include "datasets/format.hpp"
#include "datasets/import_images.hpp"
#include "datasets/set_aside.hpp"

namespace trireme {

struct LinesImport {
  /// The longest text that is stored without being asked for, in bytes.
  static constexpr std::int64_t longest_by_itself = 4096;

  /// A folder or a file.
  std::string source = {};
  /// The same for the split "test"; its classes must be among those of `source`. Empty: none.
  std::string test_source = {};
  /// Or: lines of `source` that are put aside for it.
  SetAside set_aside = {};
  /// Bytes of a sample; longer lines are cut to whole characters. 0: as many as the longest line has.
  std::int64_t length = 0;
  /// At a line that is no sample, and at a class without lines.
  OnError on_error = OnError::stop;
  std::string out = {};
  /// Empty: the folder's name.
  std::string name = {};
  std::int64_t shard_rows = 0;
  std::int64_t compress = 0;  ///< See WriterOptions.
  Existing existing = Existing::refuse;
};

/// Makes a data set of text_fields() (datasets/text_samples.hpp). Classes stand in the order of their names' bytes,
/// samples in that of files and lines; empty lines are passed over. ExitCode::corrupt_input, with file and line, for a
/// line without text or class or with a byte of zero, a class without lines, and fewer than two classes; with
/// OnError::skip the first two give a warning each. ExitCode::usage where no line is left for one of the splits.
DatasetIndex import_lines(const LinesImport& import);

}  // namespace trireme
