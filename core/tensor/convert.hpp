// Elements of a type that is known when the program runs: as those of another floating type, for files (a block at a
// time, in host memory), and as a C++ type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tensor/dtype.hpp"

namespace trireme {

/// As many elements as `in` holds, whole ones; `out` has room for exactly those. To a wider type every value stays; to
/// a narrower one it is rounded to nearest even (f64 to 16 bits by way of f32), and what is too large becomes infinite.
/// Returns how many finite values did. Throws for types that are not floating.
std::int64_t convert_elements(DType from, std::span<const std::byte> in, DType to, std::span<std::byte> out);

/// f(T{}) with the C++ type of any element type.
template <class F>
decltype(auto) with_element_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64:
      return f(double{});
    case DType::bf16:
      return f(BFloat16{});
    case DType::f16:
      return f(Float16{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::u8:
      return f(std::uint8_t{});
    case DType::u16:
      return f(std::uint16_t{});
    case DType::f32:
      break;
  }
  return f(float{});
}

}  // namespace trireme
