// The stream of samples: every epoch a permutation, the same for any number of parts, without state.
#include "datasets/sampler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "datasets/permutation.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

std::vector<std::int64_t> sampled(const Sampler& sampler, std::uint64_t first, std::size_t count) {
  std::vector<std::int64_t> out(count);
  sampler.fill(first, out);
  return out;
}

bool is_permutation_of_range(const std::vector<std::int64_t>& values) {
  std::vector<bool> seen(values.size(), false);
  for (const std::int64_t v : values) {
    if (v < 0 || v >= std::ssize(values) || seen[to_size(v)]) return false;
    seen[to_size(v)] = true;
  }
  return true;
}

TEST(Sampler, EveryEpochIsAPermutation) {
  for (std::int64_t n = 1; n <= 300; ++n) {
    const Sampler sampler(n, 5);
    for (std::uint64_t epoch : {0U, 1U, 7U}) {
      EXPECT_TRUE(is_permutation_of_range(sampled(sampler, epoch * static_cast<std::uint64_t>(n), to_size(n)))) << n;
    }
  }
  for (const std::int64_t n : {1000, 4095, 4096, 4097, 50'000, 60'000, 65'536, 99'999, 1'000'003}) {
    EXPECT_TRUE(is_permutation_of_range(sampled(Sampler(n, 1), 0, to_size(n)))) << n;
  }
}

TEST(Sampler, HugeSizesStayInRangeAndDoNotCollide) {
  for (const std::int64_t n : {std::int64_t{1} << 33, (std::int64_t{1} << 62) + 12345, INT64_MAX}) {
    const Sampler sampler(n, 3);
    std::set<std::int64_t> seen;
    for (const std::int64_t v : sampled(sampler, static_cast<std::uint64_t>(n) - 5000, 5000)) {
      EXPECT_TRUE(v >= 0 && v < n && seen.insert(v).second) << v;
    }
  }
}

TEST(Sampler, EpochsAndSeedsDiffer) {
  const auto first = sampled(Sampler(1000, 1), 0, 1000);
  EXPECT_EQ(sampled(Sampler(1000, 1), 0, 1000), first);
  EXPECT_NE(sampled(Sampler(1000, 1), 1000, 1000), first);
  EXPECT_NE(sampled(Sampler(1000, 2), 0, 1000), first);
}

TEST(Sampler, AnyPieceOfTheStreamIsThatPiece) {
  const Sampler sampler(37, 9);
  const auto whole = sampled(sampler, 0, 200);
  for (std::size_t first = 0; first < 150; first += 11) {
    EXPECT_EQ(sampled(sampler, first, 50),
              std::vector<std::int64_t>(whole.begin() + static_cast<std::ptrdiff_t>(first),
                                        whole.begin() + static_cast<std::ptrdiff_t>(first) + 50));
    EXPECT_EQ(sampler.at(first), whole[first]);
  }
}

TEST(Sampler, EverySampleOfAnEpochIsSeenOnceByTheParts) {
  const std::int64_t n = 101, batch = 10;
  for (int parts = 1; parts <= 7; ++parts) {
    std::vector<int> seen(to_size(n), 0);
    const Sampler sampler(n, 4);
    // n batches are exactly `batch` epochs: every sample must come `batch` times, and once in each epoch.
    for (std::int64_t b = 0; b < n; ++b) {
      std::int64_t rows = 0;
      for (int part = 0; part < parts; ++part) {
        const PartRows mine = part_rows(batch, part, parts);
        EXPECT_TRUE(mine.count == batch / parts || mine.count == batch / parts + 1);
        EXPECT_EQ(mine.first, rows);
        rows += mine.count;
        const auto first = static_cast<std::uint64_t>(b * batch + mine.first);
        const auto samples = sampled(sampler, first, to_size(mine.count));
        for (std::size_t i = 0; i < samples.size(); ++i) {
          const auto epoch = static_cast<int>((first + i) / static_cast<std::uint64_t>(n));
          EXPECT_EQ(seen[to_size(samples[i])]++ > epoch, false)
              << "sample " << samples[i] << " twice in epoch " << epoch;
        }
      }
      EXPECT_EQ(rows, batch);
    }
    for (const int times : seen) EXPECT_EQ(times, static_cast<int>(batch));
  }
}

TEST(Sampler, SequentialKeepsTheOrder) {
  const Sampler sampler(4, 1, Order::sequential);
  EXPECT_EQ(sampled(sampler, 2, 6), (std::vector<std::int64_t>{2, 3, 0, 1, 2, 3}));
}

TEST(Sampler, RefusesWhatCannotWork) {
  expect_error(ExitCode::corrupt_input, {"empty"}, [] { Sampler(0, 1); });
  expect_error(ExitCode::usage, {"batch of 3", "4"}, [] { part_rows(3, 0, 4); });
  EXPECT_THROW(part_rows(8, 4, 4), Error);
  EXPECT_THROW(part_rows(8, -1, 4), Error);
}

// Several values at once, in vector registers, go where each alone goes; also where halves need all of 32 bits.
TEST(Permutation, ManyAtOnceGoWhereEachAloneGoes) {
  for (const std::int64_t n :
       {std::int64_t{1}, std::int64_t{2}, std::int64_t{3}, std::int64_t{37}, std::int64_t{60'000},
        (std::int64_t{1} << 32) - 1, (std::int64_t{1} << 32) + 1, INT64_MAX}) {
    const Permutation permutation(n, 5, 2);
    std::vector<std::int64_t> values(100), want;
    for (std::size_t k = 0; k < values.size(); ++k) values[k] = n - 1 - static_cast<std::int64_t>(k) * 7 % n;
    for (const std::int64_t v : values) want.push_back(permutation(v));
    permutation.map(values);
    EXPECT_EQ(values, want) << n;
  }
}

// A run that was begun by an older version is resumed with the same samples, so the stream may never change.
TEST(Sampler, TheStreamIsTheOneOfEarlierVersions) {
  EXPECT_EQ(sampled(Sampler(60'000, 7), 0, 4), (std::vector<std::int64_t>{17119, 43793, 21492, 52422}));
  EXPECT_EQ(sampled(Sampler(INT64_MAX, 7), 0, 2),
            (std::vector<std::int64_t>{6039471727570394379, 8564232984115696526}));
}

// All 24 orders of 4 samples, and all places of the first sample of 60, come equally often over seeds.
TEST(Permutation, IsFair) {
  const int draws = 24'000;
  std::map<std::vector<std::int64_t>, int> orders;
  std::vector<int> places(60, 0);
  int neighbours = 0;
  for (int seed = 0; seed < draws; ++seed) {
    ++orders[sampled(Sampler(4, static_cast<std::uint64_t>(seed)), 0, 4)];
    const auto sixty = sampled(Sampler(60, static_cast<std::uint64_t>(seed)), 0, 60);
    ++places[to_size(sixty[0])];
    for (std::size_t i = 0; i + 1 < 60; ++i) neighbours += sixty[i + 1] == sixty[i] + 1;
  }
  EXPECT_EQ(orders.size(), 24U);
  double chi = 0;
  for (const auto& [order, times] : orders) chi += std::pow(times - draws / 24.0, 2) / (draws / 24.0);
  EXPECT_LT(chi, 60) << "chi squared of 23 degrees of freedom";
  chi = 0;
  for (const int times : places) chi += std::pow(times - draws / 60.0, 2) / (draws / 60.0);
  EXPECT_LT(chi, 110) << "chi squared of 59 degrees of freedom";
  // A sample is followed by its neighbour 59/60 times an order on average.
  EXPECT_NEAR(static_cast<double>(neighbours) / draws, 59.0 / 60, 0.05);
}

TEST(Permutation, NeighboursInTheStreamAreFarApart) {
  const std::int64_t n = 60'000;
  const auto order = sampled(Sampler(n, 11), 0, to_size(n));
  double distance = 0;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) distance += std::abs(static_cast<double>(order[i + 1] - order[i]));
  EXPECT_NEAR(distance / static_cast<double>(n - 1), static_cast<double>(n) / 3, static_cast<double>(n) / 100);
}

}  // namespace
}  // namespace trireme
