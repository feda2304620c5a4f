// CRC-32C, the checksum of TFRecord files, which other programs read too. Our own files carry XXH3 (core/io/hash.hpp).
#pragma once

#include <cstdint>
#include <string_view>

namespace trireme {

/// Castagnoli's polynomial 0x1EDC6F41 with reflected bits, as in RFC 3720, appendix B.4.
std::uint32_t crc32c(std::string_view bytes);

/// The form TFRecord stores: rotated right by 15 bits, plus a constant. A checksum of bytes that hold their own plain
/// checksum would say little.
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace trireme
