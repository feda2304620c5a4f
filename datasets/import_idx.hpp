// Imports images and labels in the IDX format (MNIST, Fashion-MNIST, EMNIST, KMNIST): big-endian, two zero bytes, type,
// number of dims, extents, then the elements; http://yann.lecun.com/exdb/mnist describes it. Plain or gzip-compressed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/format.hpp"
#include "datasets/staged_folder.hpp"

namespace trireme {

struct IdxImport {
  /// u8 images (count, H, W) or (count, H, W, C), u8 labels (count).
  std::string images = {}, labels = {};
  /// Both or none; become the split "test".
  std::string test_images = {}, test_labels = {};
  std::string out = {};
  /// Empty: the folder's name.
  std::string name = {};
  /// Empty: "0", "1", ... up to the largest training label.
  std::vector<std::string> classes = {};
  /// 0: the writer's default.
  std::int64_t shard_rows = 0;
  std::int64_t compress = 0;  ///< See WriterOptions.
  Existing existing = Existing::refuse;
};

/// Makes a data set with fields image u8 (H, W, C) and label i32 (). Memory is bounded whatever the files' sizes.
/// ExitCode::corrupt_input, with file and place, for wrong magic numbers, truncated or trailing bytes, counts that
/// disagree, labels outside the classes, and no samples.
DatasetIndex import_idx(const IdxImport& import);

}  // namespace trireme
