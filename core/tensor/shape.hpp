// The extents of a tensor, outermost dim first. At most 6 dims; a scalar has none and one element.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace trireme {

class Shape {
 public:
  static constexpr int max_dims = 6;
  Shape() = default;
  /// Throws on a negative extent, too many dims, or an element count over 2^63 - 1.
  Shape(std::initializer_list<std::int64_t> extents);
  explicit Shape(std::span<const std::int64_t> extents);

  int dims() const { return dims_; }
  std::int64_t elements() const { return elements_; }
  /// Extent of a dim; negative dims count from the end.
  std::int64_t operator[](int dim) const;
  /// Product of the extents from `first` to the end.
  std::int64_t elements_from(int first) const;
  Shape with(int dim, std::int64_t extent) const;
  /// The shape without its outermost dim.
  Shape tail() const;
  std::span<const std::int64_t> extents() const { return {extents_.data(), static_cast<std::size_t>(dims_)}; }
  /// "(2, 3)".
  std::string text() const;
  friend bool operator==(const Shape& a, const Shape& b);

 private:
  std::array<std::int64_t, max_dims> extents_{};
  int dims_ = 0;
  std::int64_t elements_ = 1;
};

}  // namespace trireme

/// As its text(): give checks the shape itself, so that the text is made only where it is shown.
template <>
struct fmt::formatter<trireme::Shape> : fmt::formatter<std::string_view> {
  template <class FormatContext>
  auto format(const trireme::Shape& shape, FormatContext& context) const {
    return fmt::formatter<std::string_view>::format(shape.text(), context);
  }
};
