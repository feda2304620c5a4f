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

/// Reads n consecutive elements; as 16-byte accesses on a GPU where the address allows it.
template <class A, int n>
TRIREME_HD Vec<A, n> load_vec(const A* p, Width<n> width) {
  Vec<A, n> out;
#ifdef __CUDA_ARCH__
  const auto pack = load(p, width);
  for (int k = 0; k < n; ++k) out.reg[k] = pack[k];
#else
  static_cast<void>(width);
  for (int k = 0; k < n; k += out.lanes) memcpy(&out.reg[k / out.lanes], p + k, sizeof(out.reg[0]));
#endif
  return out;
}

template <class A, int n>
TRIREME_HD void store_vec(A* p, const Vec<A, n>& in) {
#ifdef __CUDA_ARCH__
  Pack<A, n> pack;
  for (int k = 0; k < n; ++k) pack[k] = in.reg[k];
  store(p, pack);
#else
  for (int k = 0; k < n; k += in.lanes) memcpy(p + k, &in.reg[k / in.lanes], sizeof(in.reg[0]));
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
template <class A, int n>
TRIREME_HD Vec<A, n> plus_old(const Vec<A, n>& v, A beta, const A* p) {
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
