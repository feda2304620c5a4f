// The table that finds a bucket agrees with a search through the edges, and the sums with plain ones.
#include "launcher/run/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/support/random_seed.hpp"

namespace trireme {
namespace {

constexpr double highest = std::numeric_limits<double>::max();

/// One bucket for each edge, filled by a search.
std::vector<double> searched(const std::vector<double>& values) {
  const auto& edges = Histogram::edges();
  std::vector<double> out(edges.size(), 0);
  for (const double value : values) {
    const auto above = std::upper_bound(edges.begin(), edges.end(), value);
    ++out[std::min(static_cast<std::size_t>(above - edges.begin()), edges.size() - 1)];
  }
  return out;
}

/// The sparse buckets laid out over all edges again.
std::vector<double> spread(const Histogram::Buckets& buckets) {
  const auto& edges = Histogram::edges();
  std::vector<double> out(edges.size(), 0);
  for (std::size_t k = 0; k < buckets.limits.size(); ++k) {
    const auto edge = std::lower_bound(edges.begin(), edges.end(), buckets.limits[k]);
    EXPECT_TRUE(edge != edges.end() && *edge == buckets.limits[k]) << buckets.limits[k] << " is no edge";
    out[static_cast<std::size_t>(edge - edges.begin())] += buckets.counts[k];
  }
  return out;
}

TEST(Histogram, edges_grow_by_a_tenth_on_both_sides_of_zero) {
  const auto& edges = Histogram::edges();
  ASSERT_EQ(edges.size() % 2, 1u);
  const std::size_t zero = edges.size() / 2;
  EXPECT_EQ(edges[zero], 0);
  EXPECT_EQ(edges[zero + 1], 1e-12);
  EXPECT_EQ(edges.back(), highest);
  EXPECT_LT(edges[edges.size() - 2], 1e20);
  EXPECT_GE(edges[edges.size() - 2] * 1.1, 1e20);
  for (std::size_t k = 1; k <= zero; ++k) EXPECT_EQ(edges[zero + k], -edges[zero - k]);
  for (std::size_t k = zero + 2; k + 1 < edges.size(); ++k) EXPECT_EQ(edges[k], edges[k - 1] * 1.1);
}

TEST(Histogram, every_value_is_in_the_bucket_a_search_finds) {
  const auto seed = random_seed();
  SCOPED_TRACE(replay(seed));
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> exponent(-16, 24), sign(-1, 1);
  std::vector<double> values = {0.0, -0.0, highest, -highest, 5e-324, -5e-324, 1e-12, -1e-12, 1e20, -1e20};
  for (const double edge : Histogram::edges())
    for (const double near : {edge, std::nextafter(edge, 0.0), std::nextafter(edge, 2 * edge)})
      if (std::isfinite(near)) values.push_back(near);
  for (int k = 0; k < 20000; ++k) values.push_back(std::copysign(std::pow(10.0, exponent(random)), sign(random)));
  for (const double value : values) {
    Histogram one;
    one.add(std::span(&value, 1));
    ASSERT_EQ(spread(one.buckets()), searched({value})) << value;
  }
  Histogram all;
  all.add(values);
  EXPECT_EQ(spread(all.buckets()), searched(values));
}

TEST(Histogram, gaps_between_values_are_single_empty_buckets) {
  const auto& edges = Histogram::edges();
  const std::size_t zero = edges.size() / 2;
  Histogram two;
  two.add(std::vector<float>{0.0f, 0.0f, 3.0f});
  const auto& [limits, counts] = two.buckets();
  const auto three = static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), 3.0) - edges.begin());
  EXPECT_EQ(limits, (std::vector<double>{edges[zero], edges[zero + 1], edges[three - 1], edges[three]}));
  EXPECT_EQ(counts, (std::vector<double>{0, 2, 0, 1}));
}

TEST(Histogram, sums_scale_and_extremes) {
  Histogram out;
  out.add(std::vector<float>{1, -3, 0.5f}, 2);
  EXPECT_EQ(out.count(), 3);
  EXPECT_EQ(out.min(), -6);
  EXPECT_EQ(out.max(), 2);
  EXPECT_EQ(out.sum(), -3);
  EXPECT_EQ(out.sum_squares(), 4 + 36 + 1);
  EXPECT_EQ(spread(out.buckets()), searched({2, -6, 1}));
}

TEST(Histogram, what_is_not_finite_is_reported_and_not_counted) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  Histogram out;
  out.add(std::vector<double>{nan, 1, inf, -inf, highest}, 2);  // the last one leaves the range by its scale
  EXPECT_EQ(out.not_finite(), 4);
  EXPECT_EQ(out.count(), 1);
  EXPECT_EQ(out.sum(), 2);
  EXPECT_EQ(out.max(), 2);
}

TEST(Histogram, nothing_counted_is_one_empty_bucket) {
  const Histogram none;
  EXPECT_EQ(none.min(), 0);
  EXPECT_EQ(none.max(), 0);
  EXPECT_EQ(none.buckets().limits, std::vector<double>{highest});
  EXPECT_EQ(none.buckets().counts, std::vector<double>{0});
}

TEST(Histogram, merged_parts_equal_the_whole) {
  const std::vector<float> values = {0.25f, 1e-20f, 0, 3e30f, -7, INFINITY, -0.25f, 8};
  Histogram whole, first, second;
  whole.add(values);
  first.add(std::span(values).first(3));
  second.add(std::span(values).subspan(3));
  // The extremes are in the second part.
  first.merge(second);
  first.merge(Histogram());
  EXPECT_EQ(first.buckets().limits, whole.buckets().limits);
  EXPECT_EQ(first.buckets().counts, whole.buckets().counts);
  EXPECT_EQ(first.count(), 7);
  EXPECT_EQ(first.not_finite(), 1);
  EXPECT_EQ(first.min(), whole.min());
  EXPECT_EQ(first.max(), whole.max());
  EXPECT_DOUBLE_EQ(first.sum(), whole.sum());
  EXPECT_DOUBLE_EQ(first.sum_squares(), whole.sum_squares());
}

}  // namespace
}  // namespace trireme
