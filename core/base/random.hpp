// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). The
// number at (key, counter) is a pure function, so any process and any thread computes the same one, in any order.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "core/base/half.hpp"

namespace trireme {

struct PhiloxBlock {
  std::uint32_t word[4];
};

/// Ten rounds on a 128-bit counter with a 64-bit key; usable in kernels.
TRIREME_HD inline PhiloxBlock philox_block(PhiloxBlock counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter.word[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<std::uint32_t>(b >> 32) ^ counter.word[1] ^ key0, static_cast<std::uint32_t>(b),
                static_cast<std::uint32_t>(a >> 32) ^ counter.word[3] ^ key1, static_cast<std::uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  const PhiloxBlock out = philox_block({{counter[0], counter[1], counter[2], counter[3]}}, key[0], key[1]);
  return {out.word[0], out.word[1], out.word[2], out.word[3]};
}

/// A double in (0, 1) from 53 of the 64 bits.
TRIREME_HD inline double uniform_from(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = (std::uint64_t{high} << 32 | low) >> 11;
  return (static_cast<double>(bits) + 0.5) * 0x1.0p-53;
}

/// A standard normal by Box and Muller (1958).
inline double normal_from(const std::array<std::uint32_t, 4>& bits) {
  const double radius = std::sqrt(-2.0 * std::log(uniform_from(bits[0], bits[1])));
  return radius * std::cos(6.283185307179586 * uniform_from(bits[2], bits[3]));
}

namespace detail {
/// The finaliser of MurmurHash3: every bit of the input reaches every bit of the result.
constexpr std::uint64_t mix_bits(std::uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdu;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53u;
  return h ^ (h >> 33);
}
}  // namespace detail

/// A 64-bit key of a name and a seed (FNV-1a of the name, mixed with the mixed seed), the same on every machine.
constexpr std::uint64_t random_key(std::string_view name, std::uint64_t seed) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return detail::mix_bits(h ^ detail::mix_bits(seed + 0x9e3779b97f4a7c15u));
}

}  // namespace trireme
