// Which sample is the i-th of the training stream: a pure function of (samples, seed, i). The stream runs on for ever;
// positions [e * n, (e + 1) * n) are epoch e, a permutation of the n samples. Nothing depends on how many parts share
// the stream, so a run may be resumed at any position with another number of parts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace trireme {

/// shuffled: any sample may follow any other. blocks: near ones come near each other, for disks that are slow to seek.
/// sequential: every epoch is 0, 1, ..., samples - 1.
enum class Order { shuffled, blocks, sequential };

/// Order::blocks cuts the samples into blocks of neighbours, puts the blocks into random order, and shuffles the
/// samples of so many blocks at a time. What is left behind the last whole block is shuffled with the last group.
struct ShuffleBlocks {
  std::int64_t samples = 1024;
  std::int64_t group = 16;
};

/// Consecutive samples of a source that is a mix. Of each `mix_round` positions of the stream every part gets as many
/// as its weight says (to within one, and at least one), in random order, and they walk through an endless stream of
/// the part's own, in which each epoch is a permutation of its samples.
struct MixPart {
  std::int64_t samples = 0;
  double weight = 1;
};
inline constexpr std::int64_t mix_round = 4096;

struct SamplerOptions {
  std::vector<MixPart> parts = {};
  std::uint64_t seed = 0;
  Order order = Order::shuffled;
  ShuffleBlocks blocks = {};
};

class Sampler {
 public:
  /// ExitCode::corrupt_input for no samples, usage for weights and blocks that cannot be. Order::sequential takes the
  /// parts one after the other, whatever their weights.
  explicit Sampler(SamplerOptions options);
  /// One part of `samples` >= 1.
  Sampler(std::int64_t samples, std::uint64_t seed, Order order = Order::shuffled);

  /// Of all parts.
  std::int64_t samples() const { return samples_; }
  /// The sample at a position of the stream.
  std::int64_t at(std::uint64_t position) const;
  /// The samples at positions [first, first + out.size()).
  void fill(std::uint64_t first, std::span<std::int64_t> out) const;

 private:
  /// A part of the mix: its samples [first, first + samples), the places [begin, begin + share) of each round.
  struct Part {
    std::int64_t first, samples, begin, share;
    std::uint64_t key;
  };
  void share_out(const std::vector<MixPart>& parts);
  void fill_part(const Part& part, std::uint64_t first, std::span<std::int64_t> out) const;
  void fill_blocks(const Part& part, std::uint64_t epoch, std::span<std::int64_t> places) const;
  void fill_mix(std::uint64_t first, std::span<std::int64_t> out) const;

  std::int64_t samples_ = 0;
  std::uint64_t seed_;
  Order order_;
  ShuffleBlocks blocks_;
  std::vector<Part> parts_;
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
