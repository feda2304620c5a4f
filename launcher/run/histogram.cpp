// Gradients have millions of elements, so a bucket is found without a search: the exponent and the first four bits of
// the mantissa narrow a value down to a ratio of 17/16, in which there is at most one edge.
#include "launcher/run/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace trireme {
namespace {

class BucketTable {
 public:
  BucketTable() {
    for (double edge = 1e-12; edge < 1e20; edge *= 1.1) positive_.push_back(edge);
    const double highest = std::numeric_limits<double>::max();
    edges_.push_back(-highest);
    for (auto it = positive_.rbegin(); it != positive_.rend(); ++it) edges_.push_back(-*it);
    zero_ = edges_.size();
    edges_.push_back(0);
    edges_.insert(edges_.end(), positive_.begin(), positive_.end());
    edges_.push_back(highest);
    first_ = slot(positive_.front());
    last_ = slot(positive_.back());
    for (std::uint64_t at = first_; at <= last_; ++at) {
      const auto low = std::bit_cast<double>(at << slot_shift);
      below_.push_back(
          static_cast<std::size_t>(std::lower_bound(positive_.begin(), positive_.end(), low) - positive_.begin()));
    }
    positive_.push_back(std::numeric_limits<double>::infinity());
  }

  const std::vector<double>& edges() const { return edges_; }

  /// The bucket of a finite value: that of the first edge above it.
  std::size_t of(double value) const {
    const double size = std::abs(value);
    const std::size_t below = below_[std::clamp(slot(size), first_, last_) - first_];
    const double edge = positive_[below];
    if (value < 0) return zero_ - below - (edge < size ? 1 : 0);
    return std::min(zero_ + 1 + below + (edge <= size ? 1 : 0), edges_.size() - 1);
  }

 private:
  static constexpr int slot_shift = 52 - 4;
  static std::uint64_t slot(double size) { return std::bit_cast<std::uint64_t>(size) >> slot_shift; }

  std::vector<double> edges_, positive_;
  std::size_t zero_ = 0;
  std::uint64_t first_ = 0, last_ = 0;
  std::vector<std::size_t> below_;  // for each slot: positive edges below its lowest value
};

const BucketTable& bucket_table() {
  static const BucketTable the_table;
  return the_table;
}

}  // namespace

Histogram::Histogram() : counts_(edges().size(), 0) {}

const std::vector<double>& Histogram::edges() { return bucket_table().edges(); }

template <class T>
void Histogram::add_values(std::span<const T> values, double scale) {
  const BucketTable& buckets = bucket_table();
  for (const T element : values) {
    const double value = scale * static_cast<double>(element);
    if (!std::isfinite(value)) {
      ++not_finite_;
      continue;
    }
    ++counts_[buckets.of(value)];
    min_ = std::min(min_, value);
    max_ = std::max(max_, value);
    sum_ += value;
    sum_squares_ += value * value;
    ++count_;
  }
}

void Histogram::add(std::span<const float> values, double scale) { add_values(values, scale); }
void Histogram::add(std::span<const double> values, double scale) { add_values(values, scale); }

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  not_finite_ += other.not_finite_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
  sum_squares_ += other.sum_squares_;
}

Histogram::Buckets Histogram::buckets() const {
  Buckets out;
  const std::vector<double>& limits = edges();
  for (std::size_t i = 0; i < limits.size(); ++i) {
    if (counts_[i] == 0) continue;
    // The empty bucket before says where this one begins.
    const bool follows = i > 0 && counts_[i - 1] > 0;
    if (i > 0 && !follows) {
      out.limits.push_back(limits[i - 1]);
      out.counts.push_back(0);
    }
    out.limits.push_back(limits[i]);
    out.counts.push_back(static_cast<double>(counts_[i]));
  }
  if (out.limits.empty()) {
    out.limits.push_back(limits.back());
    out.counts.push_back(0);
  }
  return out;
}

}  // namespace trireme
