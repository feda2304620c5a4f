// Functions of one number for kernels: in f32 without branches or table look-ups, so that loops over packs become
// vector instructions on a CPU (at most 2 ulp from the exact value); f64 and the GPU use the library's. Method: range
// reduction by ln 2 (Cody and Waite 1980), polynomials fitted by Remez' exchange.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/base/half.hpp"

namespace trireme::kernels {

/// condition ? a : b without a branch: g++ gives up vectorising where it sees one.
TRIREME_HD inline float select(bool condition, float a, float b) {
  const std::uint32_t mask = 0u - static_cast<std::uint32_t>(condition);
  return trireme::detail::bits_float((trireme::detail::float_bits(a) & mask) |
                                     (trireme::detail::float_bits(b) & ~mask));
}
TRIREME_HD inline double select(bool condition, double a, double b) { return condition ? a : b; }

namespace detail {
/// a + b * x; contracted to one fused operation on every target of the project.
TRIREME_HD inline float step(float a, float b, float x) { return a + b * x; }
TRIREME_HD inline float absolute(float x) {
  return trireme::detail::bits_float(trireme::detail::float_bits(x) & 0x7fffffffu);
}
TRIREME_HD inline float with_sign_of(float magnitude, float x) {
  return trireme::detail::bits_float(trireme::detail::float_bits(magnitude) |
                                     (trireme::detail::float_bits(x) & 0x80000000u));
}
/// 2^n for -126 <= n <= 127.
TRIREME_HD inline float power_of_two(std::int32_t n) {
  return trireme::detail::bits_float(static_cast<std::uint32_t>(n + 127) << 23);
}
}  // namespace detail

TRIREME_HD inline double exp_of(double x) { return std::exp(x); }
/// Infinity above 88.73, 0 below -103.98, NaN stays NaN.
TRIREME_HD inline float exp_of(float x) {
#ifdef __CUDA_ARCH__
  return ::expf(x);
#else
  using detail::step;
  x = select(x > 89.0f, 89.0f, x);  // in this order NaN passes through
  x = select(x < -105.0f, -105.0f, x);
  constexpr float shift = 0x1.8p23f;  // adding it rounds to a whole number, which lands in the low bits
  const float shifted = x * 1.44269504f + shift;
  const float whole = shifted - shift;
  const auto n = static_cast<std::int32_t>(trireme::detail::float_bits(shifted) - trireme::detail::float_bits(shift));
  const float r = step(step(x, whole, -0.693359375f), whole, 2.12194440e-4f);
  float p = step(8.369418756e-3f, 1.381314700e-3f, r);
  p = step(4.166845673e-2f, p, r);
  p = step(1.666651479e-1f, p, r);
  p = step(4.999999305e-1f, p, r);
  p = 1.0f + (r + r * r * p);
  const std::int32_t half = n >> 1;  // two factors, because 2^n itself may be outside the range of f32
  return p * detail::power_of_two(half) * detail::power_of_two(n - half);
#endif
}

TRIREME_HD inline double tanh_of(double x) { return std::tanh(x); }
TRIREME_HD inline float tanh_of(float x) {
#ifdef __CUDA_ARCH__
  return ::tanhf(x);
#else
  using detail::step;
  const float t = detail::absolute(x), z = x * x;
  float p = step(2.055219590e-2f, -5.604363691e-3f, z);
  p = step(-5.371428510e-2f, p, z);
  p = step(1.333115551e-1f, p, z);
  p = step(-3.333327222e-1f, p, z);
  const float near = t + t * (z * p);
  const float far = 1.0f - 2.0f / (exp_of(2.0f * t) + 1.0f);
  return detail::with_sign_of(select(t < 0.625f, near, far), x);
#endif
}

template <class A>
TRIREME_HD A sigmoid_of(A x) {
  return A{1} / (A{1} + exp_of(-x));
}

/// The standard normal distribution function, erfc(-x / sqrt(2)) / 2. In f32 on a CPU to 1e-7 absolute, and in the
/// negative tail to 2e-4 relative down to x = -5.5.
TRIREME_HD inline double normal_cdf(double x) { return 0.5 * std::erfc(-0.70710678118654752 * x); }
TRIREME_HD inline float normal_cdf(float x) {
#ifdef __CUDA_ARCH__
  return ::normcdff(x);
#else
  using detail::step;
  const float u = 0.70710678f * x, t = detail::absolute(u), z = u * u;
  float p = step(-8.130012769e-4f, 8.316775511e-5f, z);  // erf(u) / u below 0.93
  p = step(5.199906682e-3f, p, z);
  p = step(-2.685894152e-2f, p, z);
  p = step(1.128368719e-1f, p, z);
  p = step(-3.761263319e-1f, p, z);
  p = step(1.128379167f, p, z);
  float q = step(-4.344617016e-4f, 2.109496646e-5f, t);  // -log(erfc(t)) above
  q = step(4.171058847e-3f, q, t);
  q = step(-2.511941700e-2f, q, t);
  q = step(1.082800743e-1f, q, t);
  q = step(6.333469193e-1f, q, t);
  q = step(1.129514924f, q, t);
  q = step(-1.746832395e-4f, q, t);
  const float tail = 0.5f * exp_of(-q);
  const float far = select(u < 0, tail, 1.0f - tail);
  return select(t < 0.93f, 0.5f + 0.5f * u * p, far);
#endif
}

}  // namespace trireme::kernels
