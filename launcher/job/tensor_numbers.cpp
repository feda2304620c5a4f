#include "launcher/job/tensor_numbers.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/tensor/convert.hpp"
#include "launcher/job/tensor_stream.hpp"

namespace trireme {
namespace {

/// What sums of T are kept in.
template <class T>
using Wide = std::conditional_t<sizeof(T) == 8, long double, double>;

template <class T>
Wide<T> value_at(const std::byte* bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  if constexpr (sizeof(T) == 2) {
    return static_cast<float>(value);
  } else {
    return static_cast<Wide<T>>(value);
  }
}

/// Count, mean and sum of squared distances from it, joined block by block: one large sum would lose digits, and a
/// difference of two large sums most of them (Chan, Golub, LeVeque 1983).
template <class T>
class Moments {
 public:
  void add(const std::byte* bytes, std::size_t count) {
    Wide<T> sum = 0;
    std::size_t finite = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const Wide<T> x = value_at<T>(bytes, i);
      if (!std::isfinite(x)) continue;
      ++finite;
      sum += x;
      square_ += x * x;
      smallest_ = std::min(smallest_, x);
      largest_ = std::max(largest_, x);
    }
    not_finite_ += narrow<std::int64_t>(count - finite);
    if (finite == 0) return;
    const Wide<T> mean = sum / static_cast<Wide<T>>(finite);
    Wide<T> spread = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const Wide<T> x = value_at<T>(bytes, i);
      if (std::isfinite(x)) spread += (x - mean) * (x - mean);
    }
    join(narrow<std::int64_t>(finite), mean, spread);
  }

  TensorNumbers result() const {
    if (count_ == 0) return {.count = 0, .not_finite = not_finite_};
    return {.count = count_,
            .not_finite = not_finite_,
            .smallest = static_cast<double>(smallest_),
            .largest = static_cast<double>(largest_),
            .mean = static_cast<double>(mean_),
            .deviation = static_cast<double>(std::sqrt(spread_ / static_cast<Wide<T>>(count_))),
            .norm = static_cast<double>(std::sqrt(square_))};
  }

 private:
  void join(std::int64_t count, Wide<T> mean, Wide<T> spread) {
    const auto before = static_cast<Wide<T>>(count_), more = static_cast<Wide<T>>(count), all = before + more;
    const Wide<T> apart = mean - mean_;
    mean_ += apart * (more / all);
    spread_ += spread + apart * apart * (before * more / all);
    count_ += count;
  }

  std::int64_t count_ = 0, not_finite_ = 0;
  Wide<T> smallest_ = std::numeric_limits<Wide<T>>::infinity(), largest_ = -smallest_;
  Wide<T> mean_ = 0, spread_ = 0, square_ = 0;
};

template <class T>
class Difference {
 public:
  void add(const std::byte* a, const std::byte* b, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const Wide<T> x = value_at<T>(a, i), y = value_at<T>(b, i);
      if (std::isfinite(x)) square_a_ += x * x;
      if (std::isfinite(y)) square_b_ += y * y;
      const std::size_t at = i * sizeof(T);
      if (std::memcmp(a + at, b + at, sizeof(T)) == 0) continue;
      ++differing_;
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;  // +0 and -0, two forms of NaN
      const Wide<T> apart = std::isfinite(x) && std::isfinite(y) ? std::abs(x - y) : infinite;
      largest_ = std::max(largest_, apart);
      square_ += apart * apart;
    }
  }

  TensorDifference result() const {
    const Wide<T> norm = std::sqrt(std::max(square_a_, square_b_));
    const Wide<T> relative = square_ == 0 ? 0 : std::sqrt(square_) / norm;
    return {
        .differing = differing_, .largest = static_cast<double>(largest_), .relative = static_cast<double>(relative)};
  }

 private:
  static constexpr Wide<T> infinite = std::numeric_limits<Wide<T>>::infinity();
  std::int64_t differing_ = 0;
  Wide<T> largest_ = 0, square_ = 0, square_a_ = 0, square_b_ = 0;
};

}  // namespace

TensorNumbers numbers_of(const SavedIn& saved) {
  return with_element_type(saved.tensor->dtype, [&]<class T>(T) {
    TensorStream stream(*saved.reader, *saved.tensor);
    Moments<T> moments;
    for (auto bytes = stream.ahead(); !bytes.empty(); bytes = stream.ahead()) {
      moments.add(bytes.data(), bytes.size() / sizeof(T));
      stream.take(bytes.size());
    }
    return moments.result();
  });
}

TensorDifference difference_of(const SavedIn& a, const SavedIn& b) {
  require(a.tensor->dtype == b.tensor->dtype && a.tensor->shape == b.tensor->shape,
          "the tensors '{}' have different types or shapes", a.tensor->label());
  return with_element_type(a.tensor->dtype, [&]<class T>(T) {
    TensorStream stream_a(*a.reader, *a.tensor), stream_b(*b.reader, *b.tensor);
    Difference<T> difference;
    for (;;) {
      // Both are asked, so that both come to their end, where the last piece is checked.
      const auto bytes_a = stream_a.ahead(), bytes_b = stream_b.ahead();
      const std::size_t some = std::min(bytes_a.size(), bytes_b.size());
      if (some == 0) return difference.result();
      difference.add(bytes_a.data(), bytes_b.data(), some / sizeof(T));
      stream_a.take(some);
      stream_b.take(some);
    }
  });
}

}  // namespace trireme
