// A field whose rows a shard holds in deflated chunks. Rows are copied out of chunks that are unpacked when they are
// asked for; those used last are kept, so that a small data set is unpacked once. HDF5 takes no part in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/io/hash.hpp"
#include "core/io/mapped_file.hpp"
#include "datasets/format.hpp"

namespace trireme {

/// Chunks that were unpacked, up to a number of bytes; what was not used for longest goes first. For any number of
/// threads.
class ChunkCache {
 public:
  using Chunk = std::shared_ptr<const std::vector<std::byte>>;
  explicit ChunkCache(std::size_t most_bytes = std::size_t{256} << 20) : most_bytes_(most_bytes) {}

  /// Null where it is not there.
  Chunk find(std::uint64_t key);
  void keep(std::uint64_t key, const Chunk& chunk);
  std::size_t bytes() const;
  /// A number that no other caller has: `count` keys from there on are his.
  std::uint64_t keys(std::uint64_t count);

 private:
  struct Entry {
    std::uint64_t key;
    Chunk chunk;
  };
  mutable std::mutex guard_;
  std::size_t most_bytes_, bytes_ = 0;
  std::list<Entry> used_;  // the last used one in front
  std::unordered_map<std::uint64_t, std::list<Entry>::iterator> places_;
  std::uint64_t next_key_ = 0;
};

/// The elements of a chunk, unshuffled: StoredArray::chunk_rows rows, the last ones of the last chunk are filling.
/// ExitCode::corrupt_input, with the file, where it is damaged or of another size.
std::vector<std::byte> unpack_chunk(const MappedFile& file, const StoredArray& array, std::size_t chunk,
                                    const std::string& path);
/// What a chunk of whole rows becomes in the file (HDF5's filters shuffle and deflate). Level 1 to 9.
std::vector<std::byte> pack_chunk(std::span<const std::byte> rows, DType dtype, int level);

/// XXH3-128 of the elements of an array, packed or not.
Hash128 hash_elements(const MappedFile& file, const StoredArray& array, const std::string& path);

class PackedField {
 public:
  /// References are kept.
  PackedField(const MappedFile& file, StoredArray array, std::string path, ChunkCache& cache);
  /// Copies a row, which must be one of the array's.
  void copy(std::int64_t row, std::byte* out) const;

 private:
  const MappedFile& file_;
  StoredArray array_;
  std::string path_;
  ChunkCache& cache_;
  std::uint64_t first_key_;
  std::size_t row_bytes_;
};

}  // namespace trireme
