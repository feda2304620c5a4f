// Writing models in the safetensors format: one file, or a folder as Hugging Face lays it out (model.safetensors, or
// shards and an index). Elements come as a stream, so memory does not grow with the model; a file gets its name when it
// is whole and on the disk. What the system refuses is an Error(storage).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/io/descriptor.hpp"
#include "core/io/safetensors_header.hpp"

namespace trireme {

struct SafeTensorSpec {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::int64_t bytes() const;
};

/// PyTorch's loaders refuse files without this word.
inline const SafeTensorsMetadata pytorch_metadata = {{"format", "pt"}};

/// One file. Without a commit() nothing is left of it, and an older file of the name stays as it is.
class SafeTensorsWriter {
 public:
  /// Takes room on the disk for all tensors; they lie in the file in this order. Names must be UTF-8 and all different.
  SafeTensorsWriter(std::string path, const std::vector<SafeTensorSpec>& tensors,
                    const SafeTensorsMetadata& metadata = pytorch_metadata);
  SafeTensorsWriter(SafeTensorsWriter&& other) noexcept;
  SafeTensorsWriter& operator=(SafeTensorsWriter&&) = delete;
  ~SafeTensorsWriter();

  /// The next bytes of the elements: those of the first tensor, then those of the second, and so on.
  void append(std::span<const std::byte> bytes);
  /// How many are still to come.
  std::int64_t missing() const { return end_ - at_; }
  /// All must have come. Syncs, and gives the file its name.
  void commit();

 private:
  std::string path_, temporary_;
  Descriptor file_;
  std::int64_t at_ = 0, end_ = 0;
};

/// A folder that is there already. Its index is written last, so half a model is not taken for a whole one.
class SafeTensorsFolderWriter {
 public:
  /// A shard holds at most `shard_bytes` of elements, or one tensor that is larger.
  SafeTensorsFolderWriter(std::string folder, std::vector<SafeTensorSpec> tensors, std::int64_t shard_bytes);

  void append(std::span<const std::byte> bytes);
  void commit();
  /// Names of all files, in order; that of the index is the last, where there is one.
  const std::vector<std::string>& files() const { return files_; }

 private:
  std::string path_of(std::size_t shard) const { return folder_ + "/" + files_[shard]; }
  void next_shard();
  std::string index_text() const;

  std::string folder_;
  std::vector<std::vector<SafeTensorSpec>> shards_;
  std::vector<std::string> files_;
  std::size_t next_ = 0;
  std::optional<SafeTensorsWriter> writer_;
};

}  // namespace trireme
