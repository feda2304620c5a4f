// A file mapped into memory for reading. Touching a page past the end of a file kills the process (SIGBUS), so the size
// is checked before anything is mapped: a file that has become too short is an Error.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace trireme {

class MappedFile {
 public:
  MappedFile() = default;
  /// Maps the whole file. Throws corrupt_input when it is missing or is not exactly `expected_bytes` long.
  MappedFile(const std::string& path, std::size_t expected_bytes);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  void release() noexcept;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Size of a regular file in bytes; throws corrupt_input when it is missing or is no regular file.
std::size_t file_bytes(const std::string& path);

}  // namespace trireme
