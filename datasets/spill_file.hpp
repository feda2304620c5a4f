// Bytes that are written now and read back once, kept on the disk and not in memory: a file without a name, which goes
// when its owner does, even by a kill.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/io/descriptor.hpp"

namespace trireme {

class SpillFile {
 public:
  /// In the folder of `path`, of which its first name is made; ExitCode::storage where it cannot be.
  explicit SpillFile(std::string path);

  void append(const void* data, std::size_t bytes);
  std::int64_t bytes() const { return written_ + std::ssize(buffer_); }
  /// Fills `out` with the bytes from `offset` on, all of which have been appended.
  void read(std::int64_t offset, std::span<std::byte> out);

 private:
  void flush();
  std::string path_;
  Descriptor file_;
  std::int64_t written_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace trireme
