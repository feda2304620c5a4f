// Which sample is the i-th of the training stream: a pure function of (samples, seed, i). The stream runs on for ever;
// positions [e * n, (e + 1) * n) are epoch e, a permutation of the n samples. Nothing depends on how many parts share
// the stream, so a run may be resumed at any position with another number of parts.
#pragma once

#include <cstdint>
#include <span>

namespace trireme {

enum class Order { shuffled, sequential };

class Sampler {
 public:
  /// `samples` >= 1. Sequential: every epoch is 0, 1, ..., samples - 1.
  Sampler(std::int64_t samples, std::uint64_t seed, Order order = Order::shuffled);

  std::int64_t samples() const { return samples_; }
  /// The sample at a position of the stream.
  std::int64_t at(std::uint64_t position) const;
  /// The samples at positions [first, first + out.size()).
  void fill(std::uint64_t first, std::span<std::int64_t> out) const;

 private:
  std::int64_t samples_;
  std::uint64_t key_;
  Order order_;
};

/// Rows [first, first + count) of a global batch.
struct PartRows {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// The rows of `part` among `parts`: [floor(part * batch / parts), floor((part + 1) * batch / parts)), so every row
/// belongs to exactly one part and counts differ by at most one. ExitCode::usage where batch < parts.
PartRows part_rows(std::int64_t batch, int part, int parts);

}  // namespace trireme
