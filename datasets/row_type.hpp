// The type of one sample's value in a field: numbers of one shape, or the bytes of an image file.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor/dtype.hpp"
#include "core/tensor/shape.hpp"

namespace trireme {

struct RowType {
  DType dtype = DType::u8;
  Shape shape;
  /// encoded: a row is a PNG or JPEG file of any length, and shape (H, W, C) is what it is made to where nothing else
  /// is said.
  enum class Form : std::uint8_t { plain, encoded } form = Form::plain;
  bool encoded() const { return form == Form::encoded; }
  /// Of a plain row.
  std::size_t bytes() const { return static_cast<std::size_t>(shape.elements()) * size_of(dtype); }
  friend bool operator==(const RowType&, const RowType&) = default;
};

}  // namespace trireme
