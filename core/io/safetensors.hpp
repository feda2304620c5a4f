// Reading models in the safetensors format (Hugging Face): one file, or a folder with model.safetensors or with several
// shards and model.safetensors.index.json. Headers are checked when it is opened (core/io/safetensors_header.hpp);
// elements are read, not mapped, so memory does not grow with the model. Content that breaks the format is an
// Error(corrupt_input) that names file and tensor; what the system refuses is an Error(storage).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/io/descriptor.hpp"
#include "core/io/safetensors_header.hpp"

namespace trireme {

inline constexpr const char* safetensors_file = "model.safetensors";
inline constexpr const char* safetensors_index_file = "model.safetensors.index.json";

class SafeTensors {
 public:
  struct File {
    std::string path;
    Descriptor descriptor;
    SafeTensorsMetadata metadata;
  };
  /// Reads all headers. In a folder that has both, the single file counts. Of an index every entry must be true: its
  /// shards are plain names of files beside it, each holds the tensors said to be there and no others, and total_size,
  /// where it is given, is the number of their bytes.
  explicit SafeTensors(const std::string& path);

  const std::vector<File>& files() const { return files_; }
  /// File by file, in order of their bytes.
  const std::vector<SafeTensor>& tensors() const { return tensors_; }
  /// Null where there is none of that name.
  const SafeTensor* find(const std::string& name) const;
  /// Fills `out` with bytes of the tensor, from `offset` of it on. corrupt_input where the file has become shorter.
  void read(const SafeTensor& tensor, std::int64_t offset, std::span<std::byte> out) const;
  /// "model.safetensors: tensor "wte.weight"", for messages.
  std::string place(const SafeTensor& tensor) const;

 private:
  void add_file(const std::string& path);
  void add_shards(const std::string& index);

  std::vector<File> files_;
  std::vector<SafeTensor> tensors_;
  std::map<std::string, std::size_t> by_name_;
};

}  // namespace trireme
