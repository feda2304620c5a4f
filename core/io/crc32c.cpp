#include "core/io/crc32c.hpp"

#include <immintrin.h>

#include <cstring>

namespace trireme {

std::uint32_t crc32c(std::string_view bytes) {
  std::uint64_t wide = 0xffffffff;
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    wide = _mm_crc32_u64(wide, word);
  }
  auto sum = static_cast<std::uint32_t>(wide);
  for (const char c : bytes) sum = _mm_crc32_u8(sum, static_cast<unsigned char>(c));
  return ~sum;
}

std::uint32_t masked_crc32c(std::string_view bytes) {
  const std::uint32_t sum = crc32c(bytes);
  return (sum >> 15 | sum << 17) + 0xa282ead8;
}

}  // namespace trireme
