// CRC-32C against the published values and against a bit-by-bit one.
#include "core/io/crc32c.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <string>

#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

std::uint32_t bit_by_bit(std::string_view bytes) {
  std::uint32_t sum = ~0u;
  for (const char c : bytes) {
    sum ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ ((sum & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return ~sum;
}

TEST(Crc32c, published_values) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
  // RFC 3720, appendix B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising(32, '\0');
  std::iota(rising.begin(), rising.end(), '\0');
  EXPECT_EQ(crc32c(rising), 0x46dd794eu);
}

TEST(Crc32c, masked_form_is_rotated_and_offset) {
  // 0xe3069283 rotated right by 15 bits is 0x2507c60d.
  EXPECT_EQ(masked_crc32c("123456789"), 0x2507c60du + 0xa282ead8u);
  EXPECT_EQ(masked_crc32c(""), 0xa282ead8u);
}

TEST(Crc32c, any_length_at_any_address) {
  const auto seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937 random(seed);
  std::string bytes(300, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  for (std::size_t first = 0; first < 9; ++first)
    for (std::size_t length = 0; length + first <= bytes.size(); ++length) {
      const std::string_view part = std::string_view(bytes).substr(first, length);
      ASSERT_EQ(crc32c(part), bit_by_bit(part)) << first << " " << length;
    }
}

}  // namespace
}  // namespace trireme
