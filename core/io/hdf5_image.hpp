// An HDF5 file laid out in memory: all of it but the elements of its datasets, which the caller writes into the real
// file himself, at the offsets that create_dataset() gives. The library meets no disk on this way. That matters: it can
// hide a full disk, and a file it could not write leaves it in a state in which the end of the process crashes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

namespace trireme::hdf5 {

class FileImage {
 public:
  /// Of the file, with the elements of its datasets.
  std::int64_t bytes() const { return bytes_; }
  /// The bytes at `offset`; zeros where nothing was written.
  void read(std::int64_t offset, std::span<std::byte> out) const;
  void write(std::int64_t offset, std::span<const std::byte> data);
  void set_bytes(std::int64_t bytes) { bytes_ = bytes; }
  void clear();

 private:
  static constexpr std::int64_t page_bytes = 4096;
  using Page = std::array<std::byte, page_bytes>;
  std::map<std::int64_t, Page> pages_;  ///< By number; only those that were written to.
  std::int64_t bytes_ = 0;
};

}  // namespace trireme::hdf5
