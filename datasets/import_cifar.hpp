// Imports CIFAR-10 and CIFAR-100 in their binary form (https://www.cs.toronto.edu/~kriz/cifar.html): records of one
// label byte (CIFAR-100: the coarse, then the fine one) and 3 x 32 x 32 bytes, channel by channel. Plain or
// gzip-compressed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/format.hpp"
#include "datasets/staged_folder.hpp"

namespace trireme {

struct CifarImport {
  enum class Labels : std::uint8_t { fine, coarse };
  /// Files, or one folder in the layout in which the sets are distributed (data_batch_*.bin and test_batch.bin with
  /// batches.meta.txt, or train.bin and test.bin with fine_label_names.txt and coarse_label_names.txt).
  std::vector<std::string> sources = {};
  /// Of the split "test"; with a folder empty.
  std::vector<std::string> test_sources = {};
  std::string out = {};
  /// Empty: the folder's name.
  std::string name = {};
  /// Empty: those of the folder, else "0", "1", ... up to 9 (CIFAR-100: 99, or 19 of coarse labels).
  std::vector<std::string> classes = {};
  Labels labels = Labels::fine;  ///< Of CIFAR-100.
  std::int64_t shard_rows = 0;
  std::int64_t compress = 0;  ///< See WriterOptions.
  Existing existing = Existing::refuse;
};

/// Makes a data set with fields image u8 (32, 32, 3) and label i32 (). ExitCode::corrupt_input, with file and record,
/// for files that are no whole number of records, labels outside the classes, and no samples.
DatasetIndex import_cifar(const CifarImport& import);

}  // namespace trireme
