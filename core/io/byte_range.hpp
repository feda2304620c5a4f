// Parts of a file, and what lies around them: a file of arrays is its arrays and the structure around them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace trireme {

/// Bytes [begin, end) of a file.
struct ByteRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// What of a file of `bytes` lies in none of `arrays`, which are in order and do not overlap.
inline std::vector<ByteRange> structure_ranges(std::span<const ByteRange> arrays, std::int64_t bytes) {
  std::vector<ByteRange> out;
  std::int64_t at = 0;
  for (const auto& array : arrays) {
    if (array.begin > at) out.push_back({at, array.begin});
    at = array.end;
  }
  if (bytes > at) out.push_back({at, bytes});
  return out;
}

}  // namespace trireme
