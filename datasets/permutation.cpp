#include "datasets/permutation.hpp"

#include <cmath>

#include "core/base/error.hpp"
#include "core/base/random.hpp"

namespace trireme {
namespace {

/// Philox's mixing step on one word: the product's halves folded together.
inline std::uint32_t fold(std::uint32_t multiplier, std::uint32_t x) {
  const std::uint64_t product = std::uint64_t{multiplier} * x;
  return static_cast<std::uint32_t>(product >> 32) ^ static_cast<std::uint32_t>(product);
}

/// A keyed function from 32 bits to [0, range).
inline std::uint64_t scatter(std::uint64_t x, const std::uint32_t (&key)[2], std::uint64_t range) {
  const std::uint32_t once = fold(0xD2511F53u, static_cast<std::uint32_t>(x) ^ key[0]);
  const std::uint32_t twice = fold(0xCD9E8D57u, once ^ key[1]);
  return (std::uint64_t{twice} * range) >> 32;
}

std::uint64_t root_above(std::uint64_t n) {
  auto root = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(n)));
  while (root > 1 && (root - 1) * (root - 1) >= n) --root;
  while (root * root < n) ++root;
  return root;
}

}  // namespace

Permutation::Permutation(std::int64_t n, std::uint64_t key, std::uint64_t tweak) : n_(static_cast<std::uint64_t>(n)) {
  require(n >= 1, "a permutation of {} elements", n);
  a_ = root_above(n_);
  b_ = (n_ + a_ - 1) / a_;
  for (std::uint32_t r = 0; r < rounds; ++r) {
    const auto words = philox({static_cast<std::uint32_t>(tweak), static_cast<std::uint32_t>(tweak >> 32), r, 0x7065726du},
                              {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
    keys_[r] = {{words[0], words[1]}, {words[2], words[3]}};
  }
}

inline std::uint64_t Permutation::once(std::uint64_t i) const {
  // Halves stay below 2^32, because n < 2^63; 32-bit division is several times faster where it does.
  std::uint64_t left = (i >> 32) == 0 ? static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(b_) : i / b_;
  std::uint64_t right = i - left * b_;
  for (const RoundKey& key : keys_) {
    left += scatter(right, key.right, a_);
    left -= left >= a_ ? a_ : 0;
    right += scatter(left, key.left, b_);
    right -= right >= b_ ? b_ : 0;
  }
  return left * b_ + right;
}

inline std::uint64_t Permutation::walk(std::uint64_t i) const {
  do {
    i = once(i);
  } while (i >= n_);
  return i;
}

std::int64_t Permutation::operator()(std::int64_t i) const {
  return static_cast<std::int64_t>(walk(static_cast<std::uint64_t>(i)));
}

void Permutation::map(std::span<std::int64_t> values) const {
  for (std::int64_t& value : values) value = static_cast<std::int64_t>(once(static_cast<std::uint64_t>(value)));
  // The domain exceeds n by less than sqrt(n) values: few are left to walk.
  for (std::int64_t& value : values) {
    if (static_cast<std::uint64_t>(value) >= n_) value = static_cast<std::int64_t>(walk(static_cast<std::uint64_t>(value)));
  }
}

}  // namespace trireme
