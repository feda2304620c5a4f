// Which pairs of tokens join, in which order of preference, and into what: a flat hash table that is never changed once
// it is filled, and the joining itself.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "datasets/tokenizer_model.hpp"

namespace trireme {

class PairTable {
 public:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
  struct Entry {
    std::uint64_t pair = std::numeric_limits<std::uint64_t>::max();
    std::uint32_t rank = none;
    std::int32_t result = -1;
  };

  /// Where a pair is listed twice, the last one counts.
  explicit PairTable(std::span<const Merge> merges);

  /// The entry of a pair; one of rank `none` where it does not join.
  const Entry& find(std::int32_t left, std::int32_t right) const {
    const std::uint64_t pair = key(left, right);
    std::size_t at = place(pair);
    while (entries_[at].pair != pair && entries_[at].rank != none) at = (at + 1) & mask_;
    return entries_[at];
  }

  /// Joins neighbours in `ids` until no pair is in the table: the pair of lowest rank first, the leftmost of equals.
  void join(std::vector<std::int32_t>& ids) const;

 private:
  static std::uint64_t key(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t place(std::uint64_t pair) const {
    return static_cast<std::size_t>((pair * 0x9e3779b97f4a7c15U) >> shift_);
  }
  void join_few(std::vector<std::int32_t>& ids) const;
  void join_many(std::vector<std::int32_t>& ids) const;

  std::vector<Entry> entries_;
  std::size_t mask_ = 0;
  int shift_ = 0;
};

}  // namespace trireme
