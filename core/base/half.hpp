// The 16-bit storage types: bfloat16 (8 exponent bits) and IEEE binary16. They store; arithmetic is done in f32.
// Conversions round to nearest even, as the hardware does, and keep NaN a NaN.
#pragma once

#include <cstdint>
#include <cstring>

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
}  // namespace detail

struct BFloat16 {
  std::uint16_t bits = 0;
  BFloat16() = default;
  TRIREME_HD explicit BFloat16(float f) {
    const std::uint32_t u = detail::float_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<std::uint16_t>((u >> 16) | 0x40u);
    } else {
      bits = static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
  }
  TRIREME_HD explicit operator float() const { return detail::bits_float(static_cast<std::uint32_t>(bits) << 16); }
};

struct Float16 {
  std::uint16_t bits = 0;
  Float16() = default;
  TRIREME_HD explicit Float16(float f) : bits(encode(detail::float_bits(f))) {}
  TRIREME_HD explicit operator float() const {
    const std::uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return detail::bits_float(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    if (magnitude >= 0x400u) return detail::bits_float(sign | ((magnitude << 13) + 0x38000000u));
    const float tiny = static_cast<float>(magnitude) * 5.9604644775390625e-8f;  // 2^-24, the step of subnormals
    return sign ? -tiny : tiny;
  }

 private:
  TRIREME_HD static std::uint16_t encode(std::uint32_t u) {
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
