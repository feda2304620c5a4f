// What the ranks of a communicator must agree on before a collective runs, for the checked mode
// (CollectiveLog::check_calls): ranks that make different calls would wait for ever, or take each other's bytes for
// their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace trireme {

struct CallSignature {
  static constexpr std::int64_t bytes = 64;

  std::uint64_t sequence = 0;  // shown and not compared: messages count, too, and not on all ranks alike
  std::int64_t count = 0;      // elements of one rank's piece
  std::int32_t root = -1;      // of rooted calls, else -1
  std::uint8_t kind = 0, dtype = 0;
  std::uint8_t reduction = 0;  // of calls that reduce
  std::uint8_t on_gpu = 0;

  static CallSignature of(const Call& call, std::uint64_t sequence);
  void write(std::span<std::uint8_t> to) const;
  static CallSignature read(std::span<const std::uint8_t> from);
  /// "broadcast number 17 (f32 x 4096, root 0)".
  std::string text() const;
  bool same_call(const CallSignature& other) const;
};

/// `all` holds the signatures in rank order. Empty where all make the same call, else who makes which:
/// "rank 0 on a: all_reduce number 17 (f32 x 8, sum); ranks 1-3 (first on b): barrier number 17".
std::string call_difference(std::span<const std::uint8_t> all, const std::vector<std::string>& hosts);

}  // namespace trireme
