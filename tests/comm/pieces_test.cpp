// The shares of ranks that save the same tensors: every element once, and equal bytes.
#include <gtest/gtest.h>

#include <random>

#include "comm/parallel/pieces.hpp"

namespace trireme {
namespace {

TEST(Pieces, CoverEveryElementOnceInEqualShares) {
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  SCOPED_TRACE("seed " + std::to_string(seed));
  for (int round = 0; round < 300; ++round) {
    std::vector<TensorSize> tensors(random() % 7);
    std::int64_t total = 0;
    for (TensorSize& one : tensors) {
      one = {static_cast<std::int64_t>(random() % 40), std::size_t{1} << (random() % 4)};
      total += one.elements * static_cast<std::int64_t>(one.element_bytes);
    }
    const int parts = 1 + static_cast<int>(random() % 9);
    std::vector<std::vector<int>> seen;
    for (const TensorSize& one : tensors) seen.emplace_back(one.elements, 0);
    for (int part = 0; part < parts; ++part) {
      std::int64_t bytes = 0;
      for (const PieceRange& piece : pieces_of(tensors, part, parts)) {
        ASSERT_GT(piece.count, 0);
        for (std::int64_t k = 0; k < piece.count; ++k)
          ++seen[piece.tensor].at(static_cast<std::size_t>(piece.first + k));
        bytes += piece.count * static_cast<std::int64_t>(tensors[piece.tensor].element_bytes);
      }
      EXPECT_LE(std::abs(static_cast<double>(bytes) - static_cast<double>(total) / parts), 9.0);
    }
    for (const auto& tensor : seen)
      for (const int times : tensor) ASSERT_EQ(times, 1);
  }
}

TEST(Pieces, OfHugeTensorsDoNotOverflow) {
  const std::vector<TensorSize> tensors{{std::int64_t{1} << 59, 8}, {5, 4}};
  std::int64_t count = 0;
  for (int part = 0; part < 1000; ++part)
    for (const PieceRange& piece : pieces_of(tensors, part, 1000)) count += piece.count;
  EXPECT_EQ(count, (std::int64_t{1} << 59) + 5);
  EXPECT_THROW(pieces_of(tensors, 3, 3), std::exception);
}

}  // namespace
}  // namespace trireme
