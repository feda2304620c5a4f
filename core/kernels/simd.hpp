// Packs that are vector registers on a CPU. g++ turns short loops over arrays into copies through the stack as soon as
// a kernel has several operands or conditions; kernels that say what happens to one register, `map(f, packs...)`, are
// vector code on a CPU (up to 9 times faster there) and scalar code on a lane of a GPU, from one text.
#pragma once

#include <cmath>

#include "core/kernels/wide.hpp"

#if defined(__AVX2__) && !defined(__CUDA_ARCH__)
#include <immintrin.h>
#define TRIREME_AVX2
#endif

namespace trireme {

namespace detail {
#ifdef __CUDA_ARCH__
/// Elements of one register of a pack of n.
template <class A, int n>
inline constexpr int register_lanes = 1;
#else
template <class A, int n>
inline constexpr int register_lanes = n* static_cast<int>(sizeof(A)) >= 32 ? 32 / static_cast<int>(sizeof(A)) : n;
#endif

template <class A, int lanes>
struct Register {
  typedef A Type __attribute__((vector_size(lanes * sizeof(A))));
};
template <class A>
struct Register<A, 1> {
  using Type = A;
};
}  // namespace detail

/// n values of A = float or double in registers; starts as zeros.
template <class A, int n>
struct Vec {
  static constexpr int lanes = detail::register_lanes<A, n>;
  using Reg = typename detail::Register<A, lanes>::Type;
  Reg reg[n / lanes] = {};
};

namespace detail {
/// n elements of a 16-bit type as f32. By hand where there are registers of eight: g++ 12 converts one by one.
template <class T, int n>
TRIREME_HD void widen(const T* p, float* out) {
  for (int k = 0; k < n; ++k) out[k] = static_cast<float>(p[k]);
}
template <class T, int n>
TRIREME_HD void narrow_to(T* p, const float* in) {
  for (int k = 0; k < n; ++k) p[k] = static_cast<T>(in[k]);
}
#ifdef TRIREME_AVX2
inline __m256 widen8(const BFloat16* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline __m256 widen8(const Float16* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
/// As the constructor of BFloat16, eight at a time.
inline void narrow8(BFloat16* p, __m256 in) {
  const __m256i bits = _mm256_castps_si256(in), upper = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(in, in, _CMP_UNORD_Q));
  const __m256i out = _mm256_blendv_epi8(rounded, quiet, is_nan);
  const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(out), _mm256_extracti128_si256(out, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}
inline void narrow8(Float16* p, __m256 in) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(in, _MM_FROUND_TO_NEAREST_INT));
}
#endif
}  // namespace detail

/// Reads n consecutive elements as numbers of Accum<T>; as 16-byte accesses on a GPU where the address allows it.
template <class T, int n>
TRIREME_HD Vec<Accum<T>, n> load_vec(const T* p, Width<n> width) {
  using A = Accum<T>;
  Vec<A, n> out;
#ifdef __CUDA_ARCH__
  const auto pack = load(p, width);
  for (int k = 0; k < n; ++k) out.reg[k] = pack[k];
#else
  static_cast<void>(width);
  if constexpr (std::is_same_v<A, T>) {
    for (int k = 0; k < n; k += out.lanes) memcpy(&out.reg[k / out.lanes], p + k, sizeof(out.reg[0]));
  } else {
    A values[n];
#ifdef TRIREME_AVX2
    if constexpr (n % 8 == 0) {
      for (int k = 0; k < n; k += 8) out.reg[k / 8] = detail::widen8(p + k);
      return out;
    }
#endif
    detail::widen<T, n>(p, values);
    for (int k = 0; k < n; k += out.lanes) memcpy(&out.reg[k / out.lanes], values + k, sizeof(out.reg[0]));
  }
#endif
  return out;
}

/// Writes n elements, rounded to T.
template <class T, int n>
TRIREME_HD void store_vec(T* p, const Vec<Accum<T>, n>& in) {
  using A = Accum<T>;
#ifdef __CUDA_ARCH__
  Pack<A, n> pack;
  for (int k = 0; k < n; ++k) pack[k] = in.reg[k];
  store(p, pack);
#else
  if constexpr (std::is_same_v<A, T>) {
    for (int k = 0; k < n; k += in.lanes) memcpy(p + k, &in.reg[k / in.lanes], sizeof(in.reg[0]));
  } else {
#ifdef TRIREME_AVX2
    if constexpr (n % 8 == 0) {
      for (int k = 0; k < n; k += 8) detail::narrow8(p + k, in.reg[k / 8]);
      return;
    }
#endif
    A values[n];
    for (int k = 0; k < n; k += in.lanes) memcpy(values + k, &in.reg[k / in.lanes], sizeof(in.reg[0]));
    detail::narrow_to<T, n>(p, values);
  }
#endif
}

/// f of each register; f sees numbers or vectors of numbers, both with operators, comparisons and ?:.
template <class F, class A, int n, class... Rest>
TRIREME_HD Vec<A, n> map(const F& f, const Vec<A, n>& first, const Rest&... rest) {
  Vec<A, n> out;
  for (int k = 0; k < n / out.lanes; ++k) out.reg[k] = f(first.reg[k], rest.reg[k]...);
  return out;
}

/// The square root of each element.
template <class A, int n>
TRIREME_HD Vec<A, n> root(const Vec<A, n>& v) {
  Vec<A, n> out;
  for (int k = 0; k < n / out.lanes; ++k) {
    if constexpr (out.lanes == 1) {
      out.reg[k] = std::sqrt(v.reg[k]);
    } else {
#ifdef TRIREME_AVX2
      if constexpr (std::is_same_v<A, float> && out.lanes == 8) {
        out.reg[k] = _mm256_sqrt_ps(v.reg[k]);
        continue;
      } else if constexpr (std::is_same_v<A, double> && out.lanes == 4) {
        out.reg[k] = _mm256_sqrt_pd(v.reg[k]);
        continue;
      }
#endif
      for (int lane = 0; lane < out.lanes; ++lane) out.reg[k][lane] = std::sqrt(v.reg[k][lane]);
    }
  }
  return out;
}

/// v + beta * what p holds; p is not read when beta is 0.
template <class T, int n>
TRIREME_HD Vec<Accum<T>, n> plus_old(const Vec<Accum<T>, n>& v, Accum<T> beta, const T* p) {
  if (beta == 0) return v;
  return map([beta](auto x, auto old) { return x + beta * old; }, v, load_vec(p, Width<n>{}));
}

/// v where `gate` is positive, else 0.
template <class A, int n>
TRIREME_HD Vec<A, n> where_positive(const Vec<A, n>& gate, const Vec<A, n>& v) {
  return map([](auto g, auto x) { return g > decltype(g){} ? x : decltype(x){}; }, gate, v);
}

/// Small whole numbers kept as bytes, as numbers of type A. By hand for f32, whose conversions g++ 12 does one by one.
template <class A, int n>
TRIREME_HD Vec<A, n> load_bytes(const std::uint8_t* p, Width<n> width) {
#ifdef TRIREME_AVX2
  if constexpr (std::is_same_v<A, float> && n % 8 == 0) {
    Vec<A, n> out;
    for (int k = 0; k < n; k += 8) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + k));
      out.reg[k / 8] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    }
    return out;
  }
#endif
  A values[n];
  for (int k = 0; k < n; ++k) values[k] = static_cast<A>(p[k]);
  return load_vec(static_cast<const A*>(values), width);
}
template <class A, int n>
TRIREME_HD void store_bytes(std::uint8_t* p, const Vec<A, n>& in) {
#ifdef TRIREME_AVX2
  if constexpr (std::is_same_v<A, float> && n % 8 == 0) {
    for (int k = 0; k < n; k += 8) {
      const __m256i whole = _mm256_cvttps_epi32(in.reg[k / 8]);
      const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(p + k), _mm_packus_epi16(words, words));
    }
    return;
  }
#endif
  A values[n];
  store_vec(static_cast<A*>(values), in);
  for (int k = 0; k < n; ++k) p[k] = static_cast<std::uint8_t>(values[k]);
}

}  // namespace trireme
