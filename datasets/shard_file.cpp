#include "datasets/shard_file.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/checked.hpp"
#include "core/io/byte_range.hpp"
#include "core/io/hdf5.hpp"

namespace trireme {
namespace {

constexpr const char* advice = "it was changed, or belongs to another data set; import the data set again";

MappedFile map_whole(const std::string& path, std::int64_t bytes) {
  const std::size_t found = file_bytes(path);
  if (found != to_size(bytes)) {
    fail(ExitCode::corrupt_input,
         "{} has {} bytes, the index says {}: it was cut off or changed; import the data set again", path, found,
         bytes);
  }
  return MappedFile(path, found);
}

/// Where the arrays lie, in order.
std::vector<ByteRange> ranges_of(const std::vector<StoredArray>& arrays, std::int64_t bytes, const std::string& path) {
  std::vector<ByteRange> ranges;
  for (const auto& array : arrays) {
    for (const auto& chunk : array.chunks) {
      if (chunk.bytes == 0 || chunk.offset > bytes || chunk.bytes > bytes - chunk.offset) {
        fail(ExitCode::corrupt_input,
             "{} has {} bytes, the index says that a chunk of '{}' has {} of them from byte {} on", path, bytes,
             array.name, chunk.bytes, chunk.offset);
      }
      ranges.push_back({chunk.offset, chunk.offset + chunk.bytes});
    }
    if (array.packed()) continue;
    if (array.offset < 0 || array.offset > bytes || array.bytes() > bytes - array.offset) {
      fail(ExitCode::corrupt_input, "{} has {} bytes, the index says that '{}' has {} of them from byte {} on", path,
           bytes, array.name, array.bytes(), array.offset);
    }
    if (array.bytes() > 0) ranges.push_back({array.offset, array.offset + array.bytes()});
  }
  std::ranges::sort(ranges, {}, &ByteRange::begin);
  const auto overlap = std::ranges::adjacent_find(ranges, [](auto& a, auto& b) { return b.begin < a.end; });
  if (overlap != ranges.end()) {
    fail(ExitCode::corrupt_input, "the index says that two arrays of {} have the same bytes at {}", path,
         overlap->end - 1);
  }
  return ranges;
}

}  // namespace

std::vector<StoredArray> arrays_of(const std::string& path) {
  const hdf5::File file = hdf5::File::open(path);
  std::vector<StoredArray> arrays;
  for (const auto& name : file.dataset_names()) {
    const auto info = file.info(name);
    StoredArray array{.name = name,
                      .dtype = info.dtype,
                      .shape = info.shape,
                      .checksum = file.read_string(name, checksum_attribute),
                      .chunk_rows = file.chunk_rows(name)};
    if (array.packed()) {
      for (const ByteRange& range : file.chunk_ranges(name))
        array.chunks.push_back({range.begin, range.end - range.begin});
    } else {
      array.offset = file.contiguous_offset(name);
    }
    arrays.push_back(std::move(array));
  }
  return arrays;
}

Hash128 structure_of(const MappedFile& map, const std::vector<StoredArray>& arrays, const std::string& path) {
  const auto bytes = static_cast<std::int64_t>(map.size());
  Hasher hasher;
  for (const auto& range : structure_ranges(ranges_of(arrays, bytes, path), bytes)) {
    hasher.update(map.data() + range.begin, to_size(range.end - range.begin));
  }
  return hasher.digest();
}

ShardFile::ShardFile(const std::string& path, const ShardEntry& entry)
    : path_(path), map_(map_whole(path, entry.bytes)), arrays_(entry.arrays) {
  if (entry.arrays.empty()) {
    if (hash_bytes(map_.data(), map_.size()).hex() != entry.checksum) {
      fail(ExitCode::corrupt_input, "the checksum of {} is not the one in the index: {}", path, advice);
    }
    arrays_ = arrays_of(path);
    ranges_of(arrays_, entry.bytes, path);
  } else if (structure_of(map_, arrays_, path).hex() != entry.structure) {
    fail(ExitCode::corrupt_input, "the checksum of the HDF5 structure of {} is not the one in the index: {}", path,
         advice);
  }
}

const StoredArray& ShardFile::find(const FieldSpec& want, std::int64_t count) const {
  const auto found = std::ranges::find(arrays_, want.name, &StoredArray::name);
  if (found == arrays_.end()) {
    std::vector<std::string> names;
    for (const auto& array : arrays_) names.push_back(array.name);
    fail(ExitCode::corrupt_input, "{} has no '{}'; it has: {}", path_, want.name, fmt::join(names, ", "));
  }
  const bool fits = found->shape.dims() == want.stored_row().dims() + 1 && found->dtype == want.dtype &&
                    found->shape.tail() == want.stored_row() && (count < 0 || found->shape[0] == count);
  if (!fits) {
    fail(ExitCode::corrupt_input, "'{}' of {} is {} {}, the index says {} rows of {} {}", want.name, path_,
         name_of(found->dtype), found->shape.text(), count < 0 ? "any number of" : std::to_string(count),
         name_of(want.dtype), want.stored_row().text());
  }
  return *found;
}

}  // namespace trireme
