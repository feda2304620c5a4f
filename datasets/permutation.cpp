#include "datasets/permutation.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.hpp"
#include "core/base/random.hpp"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace trireme {
namespace {

// One text for a value and for as many as a vector register holds: `Word` is a word of 64 bits or several of them. Of
// the factors of a product only the low halves count.
inline std::uint64_t product(std::uint64_t x, std::uint64_t y) { return (x & 0xffffffffu) * (y & 0xffffffffu); }

#ifdef __AVX2__
typedef std::uint64_t WordPack __attribute__((vector_size(32)));

/// One instruction, of which the compiler would make many.
inline WordPack product(WordPack x, WordPack y) {
  return reinterpret_cast<WordPack>(_mm256_mul_epu32(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(y)));
}
#else
using WordPack = std::uint64_t;
#endif
constexpr std::size_t lanes = sizeof(WordPack) / sizeof(std::uint64_t);

/// Philox's mixing step on one word: the product's halves folded together.
template <class Word>
Word fold(std::uint64_t multiplier, Word x) {
  const Word both = product(Word{} + multiplier, x);
  return (both >> 32) ^ both;
}

/// A keyed function from 32 bits to [0, range).
template <class Word>
Word scatter(Word x, const std::uint64_t (&key)[2], std::uint64_t range) {
  const Word once = fold(0xD2511F53u, x ^ key[0]);
  const Word twice = fold(0xCD9E8D57u, once ^ key[1]);
  return product(twice, Word{} + range) >> 32;
}

/// (x + y) mod range for x, y < range < 2^32.
template <class Word>
Word add_modulo(Word x, Word y, std::uint64_t range) {
  const Word sum = x + y, rest = sum - range;
  return (rest >> 63) != 0 ? sum : rest;
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
  inverse_ = b_ > 1 ? ~std::uint64_t{0} / b_ + 1 : 0;
  for (std::uint32_t r = 0; r < rounds; ++r) {
    const auto words =
        philox({static_cast<std::uint32_t>(tweak), static_cast<std::uint32_t>(tweak >> 32), r, 0x7065726du},
               {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
    keys_[r] = {{words[0], words[1]}, {words[2], words[3]}};
  }
}

inline std::uint64_t Permutation::split_left(std::uint64_t i) const {
  // Where i < 2^32, multiplying by 2^64 / b, rounded up, divides exactly (Lemire, Kaser and Kurz 2019, "Faster
  // remainder by direct computation").
  if ((i >> 32) != 0 || inverse_ == 0) return i / b_;
  return static_cast<std::uint64_t>(__extension__ static_cast<unsigned __int128>(inverse_) * i >> 64);
}

template <class Word>
inline void Permutation::mix(Word& left, Word& right, const RoundKey& key) const {
  left = add_modulo(left, scatter(right, key.right, a_), a_);
  right = add_modulo(right, scatter(left, key.left, b_), b_);
}

std::uint64_t Permutation::walk(std::uint64_t i) const {
  do {
    std::uint64_t left = split_left(i), right = i - left * b_;
    for (const RoundKey& key : keys_) mix(left, right, key);
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
  std::array<WordPack, block / lanes> lefts, rights;
  std::memcpy(lefts.data(), left.data(), sizeof(left));
  std::memcpy(rights.data(), right.data(), sizeof(right));
  for (const RoundKey& key : keys_)
    for (std::size_t k = 0; k < lefts.size(); ++k) mix(lefts[k], rights[k], key);
  std::memcpy(left.data(), lefts.data(), sizeof(left));
  std::memcpy(right.data(), rights.data(), sizeof(right));
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
