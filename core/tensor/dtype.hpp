// Element types of tensors and how a run-time type becomes a template argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/half.hpp"

namespace trireme {

/// u16 is a type of storage (ids of tokens): no op computes with it.
enum class DType : std::uint8_t { f32, f64, bf16, f16, i32, i64, u8, u16 };

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::bf16:
    case DType::f16:
    case DType::u16:
      return 2;
    case DType::u8:
      return 1;
    case DType::f32:
    case DType::i32:
      break;
  }
  return 4;
}

/// "f32", "f64", "bf16", "f16", "i32", "i64", "u8", "u16".
constexpr std::string_view name_of(DType dtype) {
  constexpr std::string_view names[] = {"f32", "f64", "bf16", "f16", "i32", "i64", "u8", "u16"};
  return names[static_cast<std::size_t>(dtype)];
}
/// The inverse of name_of; throws on another text.
DType parse_dtype(std::string_view name);

constexpr bool is_floating(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16 || dtype == DType::f16;
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<Float16> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<std::uint16_t> {
  static constexpr DType value = DType::u16;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

/// What sums over elements of a floating type, statistics and scalars of a loss are kept in: f64 for f64, else f32.
constexpr DType accum_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

/// The 16-bit floating types.
constexpr bool is_half(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

/// Calls f(T{}) with T = float or double; `what` names the operation in the error for other types.
template <class F>
decltype(auto) with_wide_floating(DType dtype, std::string_view what, F&& f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::f64) return f(double{});
  fail(ExitCode::failure, "{}: the element type {} is not supported; use f32 or f64", what, name_of(dtype));
}

/// Calls f(T{}) with T = float, double, BFloat16 or Float16; `what` names the operation in the error for other types.
template <class F>
decltype(auto) with_floating(DType dtype, std::string_view what, F&& f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::f64) return f(double{});
  if (dtype == DType::bf16) return f(BFloat16{});
  if (dtype == DType::f16) return f(Float16{});
  fail(ExitCode::failure, "{}: the element type {} is not supported; use f32, f64, bf16 or f16", what, name_of(dtype));
}

}  // namespace trireme
