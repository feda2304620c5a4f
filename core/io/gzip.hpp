// Reads a file front to back, plain or gzip-compressed: which one it is is seen from its first bytes, never from its
// name. A compressed stream that is cut off, damaged or followed by other bytes is an Error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/io/hash.hpp"

namespace trireme {

class InputFile {
 public:
  /// Throws corrupt_input when the file is missing.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Fills `out` as far as there are bytes; fewer than out.size() only at the end of the data.
  std::size_t read(std::span<std::byte> out);
  /// Fills `out` or throws corrupt_input; `what` names the wanted part in the message.
  void read_exactly(std::span<std::byte> out, const std::string& what);
  /// Throws corrupt_input if anything follows.
  void expect_end();

  const std::string& path() const { return path_; }
  bool compressed() const;
  /// Uncompressed bytes handed out so far.
  std::uint64_t position() const { return position_; }
  /// Size of the file itself, compressed or not.
  std::uint64_t stored_bytes() const;
  /// How many of them have been read: for showing how far one is.
  std::uint64_t stored_read() const;
  /// Hash of the file's own bytes read so far: of the whole file after expect_end().
  Hash128 stored_hash() const;

 private:
  struct State;
  std::string path_;
  std::unique_ptr<State> state_;
  std::uint64_t position_ = 0;
};

}  // namespace trireme
