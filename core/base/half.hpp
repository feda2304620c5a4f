// The 16-bit storage types: bfloat16 (8 exponent bits) and IEEE binary16. They store; arithmetic is done in f32.
// Conversions round to nearest even, as the hardware does, and keep NaN a NaN.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef __CUDACC__
#define TRIREME_HD __host__ __device__
#else
#define TRIREME_HD
#endif

namespace trireme {

namespace detail {
TRIREME_HD inline std::uint32_t float_bits(float f) {
  std::uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}
TRIREME_HD inline float bits_float(std::uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
/// Numbers that become a 16-bit type, and it them, by way of f32.
template <class N>
concept OtherNumber = std::is_arithmetic_v<N> && !std::same_as<N, float>;
}  // namespace detail

struct BFloat16 {
  std::uint16_t bits = 0;
  BFloat16() = default;
  template <detail::OtherNumber N>
  TRIREME_HD explicit BFloat16(N n) : BFloat16(static_cast<float>(n)) {}
  template <detail::OtherNumber N>
  TRIREME_HD explicit operator N() const {
    return static_cast<N>(static_cast<float>(*this));
  }
  TRIREME_HD explicit BFloat16(float f) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(f));
#else
    const std::uint32_t u = detail::float_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<std::uint16_t>((u >> 16) | 0x40u);
    } else {
      bits = static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
#endif
  }
  TRIREME_HD explicit operator float() const { return detail::bits_float(static_cast<std::uint32_t>(bits) << 16); }
};

struct Float16 {
  std::uint16_t bits = 0;
  Float16() = default;
  template <detail::OtherNumber N>
  TRIREME_HD explicit Float16(N n) : Float16(static_cast<float>(n)) {}
  template <detail::OtherNumber N>
  TRIREME_HD explicit operator N() const {
    return static_cast<N>(static_cast<float>(*this));
  }
  TRIREME_HD explicit Float16(float f) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(f));
#else
    bits = encode(detail::float_bits(f));
#endif
  }
  TRIREME_HD explicit operator float() const {
#ifdef __CUDA_ARCH__
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(bits));
    return f;
#else
    const std::uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return detail::bits_float(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    if (magnitude >= 0x400u) return detail::bits_float(sign | ((magnitude << 13) + 0x38000000u));
    const float tiny = static_cast<float>(magnitude) * 5.9604644775390625e-8f;  // 2^-24, the step of subnormals
    return sign ? -tiny : tiny;
#endif
  }

 private:
  static std::uint16_t encode(std::uint32_t u) {
    const std::uint32_t sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds to infinity
    if (magnitude >= 0x38800000u) {
      const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
      return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
    }
    if (magnitude < 0x33000000u) return static_cast<std::uint16_t>(sign);
    const std::uint32_t shift = 126u - (magnitude >> 23), mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const std::uint32_t half = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1u);
    std::uint32_t value = mantissa >> shift;
    if (rest > half || (rest == half && (value & 1u))) ++value;
    return static_cast<std::uint16_t>(sign | value);
  }
};

}  // namespace trireme
