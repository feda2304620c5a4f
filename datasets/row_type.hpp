// The type of one sample's value in a field.
#pragma once

#include <cstddef>

#include "core/tensor/dtype.hpp"
#include "core/tensor/shape.hpp"

namespace trireme {

struct RowType {
  DType dtype = DType::u8;
  Shape shape;
  std::size_t bytes() const { return static_cast<std::size_t>(shape.elements()) * size_of(dtype); }
  friend bool operator==(const RowType&, const RowType&) = default;
};

}  // namespace trireme
