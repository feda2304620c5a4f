// Counts of values in TensorBoard's buckets, whose edges grow by a tenth from 1e-12 to 1e20 on both sides of zero: any
// two histograms have the same edges, so they can be added up and compared over steps.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace trireme {

class Histogram {
 public:
  Histogram();

  /// Counts value x scale. What is not finite is in no bucket and no sum, only in not_finite().
  void add(std::span<const float> values, double scale = 1);
  void add(std::span<const double> values, double scale = 1);
  /// As if the other's values had been added here.
  void merge(const Histogram& other);

  std::int64_t count() const { return count_; }
  std::int64_t not_finite() const { return not_finite_; }
  /// 0 where nothing was counted.
  double min() const { return count_ > 0 ? min_ : 0; }
  double max() const { return count_ > 0 ? max_ : 0; }
  double sum() const { return sum_; }
  double sum_squares() const { return sum_squares_; }

  /// counts[i] values lie below limits[i] and not below limits[i - 1].
  struct Buckets {
    std::vector<double> limits;
    std::vector<double> counts;
  };
  /// The buckets that hold something, each run of empty ones between or before them as one bucket. Never empty.
  Buckets buckets() const;

  /// Upper edges of all buckets, ascending, from the lowest to the highest double.
  static const std::vector<double>& edges();

 private:
  template <class T>
  void add_values(std::span<const T> values, double scale);

  std::vector<std::int64_t> counts_;
  std::int64_t count_ = 0, not_finite_ = 0;
  double min_ = std::numeric_limits<double>::max(), max_ = std::numeric_limits<double>::lowest();
  double sum_ = 0, sum_squares_ = 0;
};

}  // namespace trireme
