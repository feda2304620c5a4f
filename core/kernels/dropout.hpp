// Dropout: y = beta * y + (kept ? factor * x : 0), forward and gradient alike. Whether an element is kept is a pure
// function of (seed, layer, step, sample, element in sample), by Philox.
#pragma once

#include "core/base/random.hpp"
#include "core/kernels/math.hpp"
#include "core/kernels/team.hpp"
#include "core/tape/step_state.hpp"

namespace trireme::kernels {

/// A row kernel, a row being a sample. Element e of a sample belongs to group e / 32; number j = e % 8 of the group's
/// eight Philox blocks gives with its words w = 0 .. 3 the draws of elements 8 w + j, so that neighbouring elements
/// come from neighbouring blocks and eight blocks are computed side by side.
template <class T>
struct Dropout {
  static constexpr const char* name = "dropout";
  static constexpr int blocks = 8, group = 32;
  const T* x;
  T* y;
  const StepState* state;
  std::int64_t features, first_sample;
  std::uint32_t layer;
  std::uint32_t threshold;  ///< Draws below it are dropped: probability * 2^32.
  Accum<T> factor, beta;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const auto sample = static_cast<std::uint64_t>(first_sample + row);
    const auto step = static_cast<std::uint64_t>(state->step);
    const auto seed = state->random_seed;
    const Key key{.base = {{0, static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(step), layer}},
                  // the high halves, mostly 0, go into the key
                  .low = static_cast<std::uint32_t>(seed) ^ static_cast<std::uint32_t>(sample >> 32),
                  .high = static_cast<std::uint32_t>(seed >> 32) ^ static_cast<std::uint32_t>(step >> 32)};
    const std::int64_t groups = (features + group - 1) / group;
    for (std::int64_t g = team.lane(); g < groups; g += team.lanes()) {
      std::uint32_t draws[group];
      draw(key, g, draws);
      const std::int64_t first = row * features + g * group, rest = features - g * group;
      if (rest >= group) {
        apply(first, draws, Width<group>{});
      } else {
        for (int k = 0; k < rest; ++k) apply(first + k, draws + k, Width<1>{});
      }
    }
  }

 private:
  /// What all draws of a sample share.
  struct Key {
    PhiloxBlock base;
    std::uint32_t low, high;
  };
  /// philox_block (core/base/random.hpp) of the group's eight counters, round by round over all eight.
  TRIREME_HD static void draw(const Key& key, std::int64_t g, std::uint32_t* draws) {
    std::uint32_t word[4][blocks];
    for (int j = 0; j < blocks; ++j) {
      word[0][j] = static_cast<std::uint32_t>(g) * blocks + static_cast<std::uint32_t>(j);
      for (int w = 1; w < 4; ++w) word[w][j] = key.base.word[w];
    }
    std::uint32_t low = key.low, high = key.high;
    for (int round = 0; round < 10; ++round) {
      for (int j = 0; j < blocks; ++j) {
        const std::uint64_t a = std::uint64_t{0xD2511F53u} * word[0][j], b = std::uint64_t{0xCD9E8D57u} * word[2][j];
        word[0][j] = static_cast<std::uint32_t>(b >> 32) ^ word[1][j] ^ low;
        word[2][j] = static_cast<std::uint32_t>(a >> 32) ^ word[3][j] ^ high;
        word[1][j] = static_cast<std::uint32_t>(b);
        word[3][j] = static_cast<std::uint32_t>(a);
      }
      low += 0x9E3779B9u;
      high += 0xBB67AE85u;
    }
    for (int w = 0; w < 4; ++w)
      for (int j = 0; j < blocks; ++j) draws[w * blocks + j] = word[w][j];
  }
  template <class W>
  TRIREME_HD void apply(std::int64_t i, const std::uint32_t* draws, W width) const {
    auto v = load(x + i, width);
    for (int k = 0; k < W{}; ++k) v[k] = select(draws[k] >= threshold, v[k] * factor, 0);
    if (beta != 0) {
      const auto old = load(static_cast<const T*>(y) + i, width);
      for (int k = 0; k < W{}; ++k) v[k] += beta * old[k];
    }
    store(y + i, v);
  }
};

}  // namespace trireme::kernels
