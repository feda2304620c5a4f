#include "datasets/permutation.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/error.hpp"
#include "core/base/random.hpp"

namespace trireme {
namespace {

constexpr std::uint64_t low_word = 0xffffffffu;

/// Philox's mixing step on one word: the product's halves folded together. Words stay in 64-bit variables, so that the
/// compiler can do four at once.
inline std::uint64_t fold(std::uint32_t multiplier, std::uint64_t x) {
  const std::uint64_t product = multiplier * (x & low_word);
  return (product >> 32) ^ (product & low_word);
}

/// A keyed function from 32 bits to [0, range).
inline std::uint64_t scatter(std::uint64_t x, const std::uint32_t (&key)[2], std::uint64_t range) {
  const std::uint64_t once = fold(0xD2511F53u, x ^ key[0]);
  const std::uint64_t twice = fold(0xCD9E8D57u, once ^ key[1]);
  return ((twice & low_word) * (range & low_word)) >> 32;
}

/// (x + y) mod range for x, y < range < 2^32; signed, because AVX2 compares only signed numbers.
inline std::uint64_t add_modulo(std::uint64_t x, std::uint64_t y, std::uint64_t range) {
  const auto sum = static_cast<std::int64_t>(x + y), most = static_cast<std::int64_t>(range);
  return static_cast<std::uint64_t>(sum >= most ? sum - most : sum);
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
    const auto words =
        philox({static_cast<std::uint32_t>(tweak), static_cast<std::uint32_t>(tweak >> 32), r, 0x7065726du},
               {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
    keys_[r] = {{words[0], words[1]}, {words[2], words[3]}};
  }
}

inline std::uint64_t Permutation::split_left(std::uint64_t i) const {
  // Halves stay below 2^32, because n < 2^63; 32-bit division is several times faster where it does.
  return (i >> 32) == 0 ? static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(b_) : i / b_;
}

std::uint64_t Permutation::walk(std::uint64_t i) const {
  do {
    std::uint64_t left = split_left(i), right = i - left * b_;
    for (const RoundKey& key : keys_) {
      left = add_modulo(left, scatter(right, key.right, a_), a_);
      right = add_modulo(right, scatter(left, key.left, b_), b_);
    }
    i = left * b_ + right;
  } while (i >= n_);
  return i;
}

void Permutation::map_block(std::span<std::int64_t> values) const {
  std::array<std::uint64_t, block> left{}, right{};
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto i = static_cast<std::uint64_t>(values[k]);
    left[k] = split_left(i);
    right[k] = i - left[k] * b_;
  }
  const std::uint64_t a = a_, b = b_;
  for (const RoundKey& key : keys_) {
    for (std::size_t k = 0; k < block; ++k) left[k] = add_modulo(left[k], scatter(right[k], key.right, a), a);
    for (std::size_t k = 0; k < block; ++k) right[k] = add_modulo(right[k], scatter(left[k], key.left, b), b);
  }
  for (std::size_t k = 0; k < values.size(); ++k) {
    // The domain exceeds n by less than sqrt(n) values: few have to walk on.
    const std::uint64_t once = left[k] * b_ + right[k];
    values[k] = static_cast<std::int64_t>(once < n_ ? once : walk(once));
  }
}

std::int64_t Permutation::operator()(std::int64_t i) const {
  return static_cast<std::int64_t>(walk(static_cast<std::uint64_t>(i)));
}

void Permutation::map(std::span<std::int64_t> values) const {
  while (!values.empty()) {
    const auto now = values.first(std::min(block, values.size()));
    map_block(now);
    values = values.subspan(now.size());
  }
}

}  // namespace trireme
