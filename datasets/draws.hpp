// Random numbers of one generated sample, drawn in order: what a sample becomes is a pure function of (stream, index).
#pragma once

#include <array>
#include <cstdint>

#include "core/base/random.hpp"

namespace trireme {

class Draws {
 public:
  /// `stream` is random_key() of what is drawn and of the seed.
  Draws(std::uint64_t stream, std::int64_t index)
      : key_{static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)},
        index_(static_cast<std::uint64_t>(index)) {}

  std::uint32_t bits() {
    if (used_ == 4) {
      words_ =
          philox({static_cast<std::uint32_t>(index_), static_cast<std::uint32_t>(index_ >> 32), block_++, 0}, key_);
      used_ = 0;
    }
    return words_[used_++];
  }
  double between(double low, double high) { return low + (high - low) * (bits() * 0x1.0p-32); }
  std::int32_t below(std::uint32_t n) { return static_cast<std::int32_t>((std::uint64_t{bits()} * n) >> 32); }

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint64_t index_;
  std::uint32_t block_ = 0;
  std::array<std::uint32_t, 4> words_{};
  std::size_t used_ = 4;
};

}  // namespace trireme
