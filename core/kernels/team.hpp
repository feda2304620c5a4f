// A team is the group of lanes that computes one row or tile together. A kernel is written once against this face; the
// team decides what a lane is: the only one (CPU), a thread of a warp or block (GPU), or a host thread (tests, see
// tests/support/thread_team.hpp). Lanes stride over a row in packs of 16 bytes, so the same text becomes 128-bit
// accesses on a GPU and vector instructions on a CPU, and a lane's own variables live on across phases on every device.
// Rules: no early return before a sync or a reduction; data that crosses lanes does so through sum() or max().
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/base/half.hpp"

namespace trireme {

/// What sums over T are kept in: f64 for f64, else f32.
template <class T>
using Accum = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// A number of elements known at compile time, so that loops over it unroll.
template <int n>
struct Width {
  TRIREME_HD constexpr operator int() const { return n; }
};

/// How many T fill 16 bytes, the widest access of one lane.
template <class T>
inline constexpr int pack_width = 16 / static_cast<int>(sizeof(T));

/// n values in registers.
template <class A, int n>
struct Pack {
  A value[n] = {};
  TRIREME_HD A& operator[](int k) { return value[k]; }
  TRIREME_HD A operator[](int k) const { return value[k]; }
  TRIREME_HD A sum() const {
    A total = 0;
    for (int k = 0; k < n; ++k) total += value[k];
    return total;
  }
};

/// n consecutive T as one access of a GPU.
template <class T, int n>
struct alignas(n * sizeof(T)) Storage {
  T value[n];
};

/// Whether an address allows access to n elements at once.
template <class T, int n>
TRIREME_HD bool is_wide(const T* p, Width<n>) {
  return n > 1 && reinterpret_cast<std::uintptr_t>(p) % sizeof(Storage<T, n>) == 0;
}

/// The one access of load() and store() on a GPU, at an address that allows it.
template <class T, int n>
TRIREME_HD Pack<Accum<T>, n> load_wide(const T* p, Width<n>) {
  const auto raw = *reinterpret_cast<const Storage<T, n>*>(p);
  Pack<Accum<T>, n> out;
  for (int k = 0; k < n; ++k) out[k] = static_cast<Accum<T>>(raw.value[k]);
  return out;
}
template <class T, int n>
TRIREME_HD void store_wide(T* p, const Pack<Accum<T>, n>& in) {
  Storage<T, n> raw;
  for (int k = 0; k < n; ++k) raw.value[k] = static_cast<T>(in[k]);
  *reinterpret_cast<Storage<T, n>*>(p) = raw;
}

/// Reads n elements, converted to Accum<T>. One 16-byte access where the address allows it.
template <class T, int n>
TRIREME_HD Pack<Accum<T>, n> load(const T* p, [[maybe_unused]] Width<n> width) {
#ifdef __CUDA_ARCH__
  if (is_wide(p, width)) return load_wide(p, width);
#endif
  Pack<Accum<T>, n> out;
  for (int k = 0; k < n; ++k) out[k] = static_cast<Accum<T>>(p[k]);
  return out;
}

/// Writes n elements, rounded to T.
template <class T, int n>
TRIREME_HD void store(T* p, const Pack<Accum<T>, n>& in) {
#ifdef __CUDA_ARCH__
  if (is_wide(static_cast<const T*>(p), Width<n>{})) return store_wide(p, in);
#endif
  for (int k = 0; k < n; ++k) p[k] = static_cast<T>(in[k]);
}

/// Deals a row of n elements to the lanes: f(i, width), whole packs first, then single elements.
template <class T, class Team, class F>
TRIREME_HD void for_each_pack(const Team& team, std::int64_t n, F&& f) {
  constexpr int wide = pack_width<T>;
  const std::int64_t packed = n / wide * wide;
  for (std::int64_t i = std::int64_t{team.lane()} * wide; i < packed; i += std::int64_t{team.lanes()} * wide)
    f(i, Width<wide>{});
  for (std::int64_t i = packed + team.lane(); i < n; i += team.lanes()) f(i, Width<1>{});
}

/// One lane does the whole row.
struct SerialTeam {
  TRIREME_HD static constexpr int lane() { return 0; }
  TRIREME_HD static constexpr int lanes() { return 1; }
  TRIREME_HD void sync() const {}
  template <class A>
  TRIREME_HD A sum(A partial) const {
    return partial;
  }
  template <class A>
  TRIREME_HD A max(A partial) const {
    return partial;
  }
};

#ifdef __CUDACC__
/// The 32 lanes of a warp. sum() and max() reach every lane.
struct WarpTeam {
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static constexpr int lanes() { return 32; }
  __device__ void sync() const { __syncwarp(); }
  template <class A>
  __device__ A sum(A partial) const {
    for (int distance = 16; distance > 0; distance /= 2) partial += __shfl_xor_sync(0xffffffffu, partial, distance);
    return partial;
  }
  template <class A>
  __device__ A max(A partial) const {
    for (int distance = 16; distance > 0; distance /= 2) {
      const A other = __shfl_xor_sync(0xffffffffu, partial, distance);
      partial = partial > other ? partial : other;
    }
    return partial;
  }
};

/// All threads of a block (a multiple of 32, at most 1024). sum() and max() reach every lane.
struct BlockTeam {
  __device__ static int lane() { return static_cast<int>(threadIdx.x); }
  __device__ static int lanes() { return static_cast<int>(blockDim.x); }
  __device__ void sync() const { __syncthreads(); }
  template <class A>
  __device__ A sum(A partial) const {
    return combine(WarpTeam{}.sum(partial), [](A a, A b) { return a + b; });
  }
  template <class A>
  __device__ A max(A partial) const {
    return combine(WarpTeam{}.max(partial), [](A a, A b) { return a > b ? a : b; });
  }

 private:
  template <class A, class F>
  __device__ static A combine(A of_warp, F join) {
    __shared__ A partials[32];
    const int warps = static_cast<int>(blockDim.x) / 32;
    if (threadIdx.x % 32 == 0) partials[threadIdx.x / 32] = of_warp;
    __syncthreads();
    A total = partials[0];
    for (int w = 1; w < warps; ++w) total = join(total, partials[w]);
    __syncthreads();  // nobody may overwrite a partial before all have read it
    return total;
  }
};
#endif

}  // namespace trireme
