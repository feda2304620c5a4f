// A shard file and what the index says about it. The bytes around its arrays (HDF5's own, with the attributes) are
// compared with their checksum in the index, then the arrays are read where the index says they lie: HDF5 sees no file
// on the way, because a forged or damaged one can make the library crash.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/io/hash.hpp"
#include "core/io/mapped_file.hpp"
#include "datasets/format.hpp"

namespace trireme {

/// The datasets of a file, by name, as HDF5 says. Only for files that are known to be as they were written.
std::vector<StoredArray> arrays_of(const std::string& path);

class ShardFile {
 public:
  /// Maps the file and checks its size, its structure, and that its arrays lie inside it and apart. An index of an
  /// older version does not say where the arrays are: then the checksum of the whole file is compared and HDF5 is
  /// asked. ExitCode::corrupt_input, with the file and what differs, otherwise.
  ShardFile(const std::string& path, const ShardEntry& entry);

  /// Elements of an array; ExitCode::corrupt_input where the file has none of that name, or it is not (count, row...)
  /// of the field's dtype. A count of -1 is any.
  const StoredArray& find(const FieldSpec& want, std::int64_t count) const;
  /// Of one that is not packed.
  const std::byte* data(const StoredArray& array) const { return map_.data() + array.offset; }
  MappedFile release() && { return std::move(map_); }

 private:
  std::string path_;
  MappedFile map_;
  std::vector<StoredArray> arrays_;
};

/// XXH3-128 of all bytes around the arrays. Throws corrupt_input where one leaves the file or two overlap.
Hash128 structure_of(const MappedFile& map, const std::vector<StoredArray>& arrays, const std::string& path);

}  // namespace trireme
