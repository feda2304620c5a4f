// A keyed permutation of [0, n) computed element by element in O(1) memory: a generalised Feistel network over Z_a x
// Z_b with a * b >= n and a ~ b ~ sqrt(n), walked along its cycles until the value is below n (Black and Rogaway 2002,
// "Ciphers with arbitrary finite domains", methods 2 and 3). The round function is two rounds of Philox's multiply and
// fold; round keys are Philox4x32-10 of (key, tweak). Integers only: the same on every machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace trireme {

class Permutation {
 public:
  /// n >= 1; `tweak` selects one of many permutations of the same key (an epoch, for example).
  Permutation(std::int64_t n, std::uint64_t key, std::uint64_t tweak);

  std::int64_t size() const { return static_cast<std::int64_t>(n_); }
  /// Where i in [0, n) goes.
  std::int64_t operator()(std::int64_t i) const;
  /// Replaces each value in [0, n) by where it goes; several at once, with vector instructions.
  void map(std::span<std::int64_t> values) const;

 private:
  static constexpr int rounds = 6;  // each changes both halves
  struct RoundKey {
    std::uint64_t right[2];
    std::uint64_t left[2];
  };
  static constexpr std::size_t block = 32;  // values mapped together
  std::uint64_t split_left(std::uint64_t i) const;
  template <class Word>
  void mix(Word& left, Word& right, const RoundKey& key) const;
  void map_block(std::span<std::int64_t> values) const;
  std::uint64_t walk(std::uint64_t i) const;

  std::uint64_t n_, a_, b_;
  std::uint64_t inverse_ = 0;  // 2^64 / b, rounded up; 0 where that is 2^64
  std::array<RoundKey, rounds> keys_{};
};

}  // namespace trireme
