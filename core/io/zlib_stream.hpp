// One zlib stream (RFC 1950) in memory, as formats hold it that compress their parts alone.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace trireme {

struct Inflated {
  std::vector<std::byte> bytes;
  std::size_t consumed = 0;  ///< Bytes of the stream, which may be followed by others.
};

/// corrupt_input where the stream is damaged or does not hold exactly `size` bytes; `what` is for the message.
Inflated inflate_stream(std::span<const std::byte> stream, std::size_t size, const std::string& what);

/// One whole stream of `bytes`; level 1 (fast) to 9 (small).
std::vector<std::byte> deflate_stream(std::span<const std::byte> bytes, int level);

}  // namespace trireme
