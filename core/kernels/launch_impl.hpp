// The bodies of launch_*; included only by the *_launch.cpp files that instantiate kernels (see launch.hpp).
#pragma once

#include "core/base/profile.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/parallel.hpp"
#include "core/kernels/team.hpp"

#ifdef __CUDACC__
#include "core/kernels/launch_cuda.cuh"
#endif

namespace trireme {

namespace detail {
/// Below this many elements a parallel region costs more than it saves.
constexpr std::int64_t parallel_grain = 16384;

/// Elements or columns of one step on a CPU: `static constexpr int serial_pack` of a kernel that wants wider steps than
/// the GPU's 16 bytes (see wide.hpp), else `usual`.
template <class Kernel>
constexpr int serial_pack_or(int usual) {
  if constexpr (requires { Kernel::serial_pack; }) return Kernel::serial_pack;
  return usual;
}
}  // namespace detail

template <class Kernel>
void launch_elements(const Stream& stream, std::int64_t elements, const Kernel& kernel) {
  if (stream.device().is_meta() || elements == 0) return;
  const ProfileSpan span(Kernel::name, ProfileSpan::Kind::kernel);
#ifdef __CUDACC__
  if (stream.device().is_cuda()) return detail::cuda_elements(stream, elements, kernel);
#endif
  constexpr int pack = Kernel::pack, wide = detail::serial_pack_or<Kernel>(pack);
  parallel_ranges(elements / wide, detail::parallel_grain / wide, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t p = first; p < last; ++p) kernel(p * wide, Width<wide>{});
  });
  std::int64_t i = elements / wide * wide;
  for (; i + pack <= elements; i += pack) kernel(i, Width<pack>{});
  for (; i < elements; ++i) kernel(i, Width<1>{});
}

template <class Kernel>
void launch_rows(const Stream& stream, RowsShape shape, const Kernel& kernel) {
  if (stream.device().is_meta() || shape.rows == 0) return;
  const ProfileSpan span(Kernel::name, ProfileSpan::Kind::kernel);
#ifdef __CUDACC__
  if (stream.device().is_cuda()) return detail::cuda_rows(stream, shape, kernel);
#endif
  const std::int64_t numbers = shape.row_elements * shape.work;
  const std::int64_t grain = detail::parallel_grain / (numbers > 0 ? numbers : 1) + 1;
  parallel_ranges(shape.rows, grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) kernel(SerialTeam{}, row);
  });
}

template <class Kernel>
void launch_columns(const Stream& stream, ColumnsShape shape, const Kernel& kernel) {
  if (stream.device().is_meta() || shape.stripes == 0 || shape.features == 0) return;
  const ProfileSpan span(Kernel::name, ProfileSpan::Kind::kernel);
#ifdef __CUDACC__
  if (stream.device().is_cuda()) return detail::cuda_columns(stream, shape, kernel);
#endif
  const std::int64_t pack = detail::serial_pack_or<Kernel>(shape.pack);
  const std::int64_t tiles = (shape.features + pack - 1) / pack;
  parallel_ranges(shape.stripes, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t stripe = first; stripe < last; ++stripe)
      for (std::int64_t tile = 0; tile < tiles; ++tile) kernel(SerialTeam{}, stripe, tile);
  });
}

}  // namespace trireme

/// For use inside namespace trireme, with a kernel of trireme::kernels.
#define TRIREME_LAUNCH_ELEMENTS(...) \
  template void launch_elements(const Stream&, std::int64_t, const kernels::__VA_ARGS__&)
#define TRIREME_LAUNCH_ROWS(...) template void launch_rows(const Stream&, RowsShape, const kernels::__VA_ARGS__&)
#define TRIREME_LAUNCH_COLUMNS(...) \
  template void launch_columns(const Stream&, ColumnsShape, const kernels::__VA_ARGS__&)
