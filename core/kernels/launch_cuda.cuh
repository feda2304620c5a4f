// The GPU side of launch_*: how elements, rows and columns are dealt to threads. Included by launch_impl.hpp under nvcc
// only. Nothing here depends on the number of rows except the size of the grid, so a row's result has the same bits in
// any batch.
#pragma once

#include <cuda_runtime_api.h>

#include <climits>
#include <cstdint>
#include <type_traits>

#include "core/device/cuda_check.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/team.hpp"

namespace trireme::detail {

constexpr int element_threads = 256;
constexpr int warp_row_threads = 256;  // 8 rows a block
constexpr int long_row_threads = 256;  // one row a block
constexpr int longest_row_threads = 512;
constexpr int column_threads = 64;  // small, because there are few stripes to fill the GPU with
/// Up to here one warp reads a row in at most 8 packs a lane; beyond it a block shares the row.
constexpr std::int64_t warp_row_elements = 1024;
constexpr std::int64_t block_row_elements = 8192;
constexpr std::int64_t grid_x_limit = INT_MAX, grid_y_limit = 65535;

inline constexpr std::int64_t blocks_for(std::int64_t n, std::int64_t each) { return (n + each - 1) / each; }
inline constexpr std::int64_t at_most(std::int64_t n, std::int64_t limit) { return n < limit ? n : limit; }

template <class Kernel>
__global__ void __launch_bounds__(element_threads)
    run_elements(std::int64_t elements, const __grid_constant__ Kernel kernel) {
  constexpr int pack = Kernel::pack;
  const std::int64_t packs = elements / pack, units = packs + elements % pack;
  for (std::int64_t unit = std::int64_t{blockIdx.x} * element_threads + threadIdx.x; unit < units;
       unit += std::int64_t{gridDim.x} * element_threads) {
    if (unit < packs) {
      kernel(unit * pack, Width<pack>{});
    } else {
      kernel(packs * (pack - 1) + unit, Width<1>{});
    }
  }
}

template <class Kernel>
__global__ void __launch_bounds__(warp_row_threads)
    run_rows_by_warp(std::int64_t rows, const __grid_constant__ Kernel kernel) {
  constexpr int each = warp_row_threads / 32;
  for (std::int64_t row = std::int64_t{blockIdx.x} * each + threadIdx.x / 32; row < rows;
       row += std::int64_t{gridDim.x} * each)
    kernel(WarpTeam{}, row);
}

template <class Kernel>
__global__ void __launch_bounds__(longest_row_threads)
    run_rows_by_block(std::int64_t rows, const __grid_constant__ Kernel kernel) {
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) kernel(BlockTeam{}, row);
}

template <class Kernel>
__global__ void __launch_bounds__(column_threads)
    run_columns(std::int64_t stripes, std::int64_t tiles, const __grid_constant__ Kernel kernel) {
  for (std::int64_t stripe = blockIdx.y; stripe < stripes; stripe += gridDim.y)
    for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) kernel(BlockTeam{}, stripe, tile);
}

/// Kernels travel by value, as launch parameters.
template <class Kernel>
void prepare(const Stream& stream) {
  static_assert(std::is_trivially_copyable_v<Kernel>, "a kernel's fields are copied to the GPU as bytes");
  static_assert(sizeof(Kernel) <= 4000, "launch parameters hold 4 KiB");
  cuda::use_device(stream.device().index);
}

inline cudaStream_t native(const Stream& stream) { return static_cast<cudaStream_t>(stream.native()); }

template <class Kernel>
void cuda_elements(const Stream& stream, std::int64_t elements, const Kernel& kernel) {
  prepare<Kernel>(stream);
  const std::int64_t units = elements / Kernel::pack + elements % Kernel::pack;
  const auto blocks = static_cast<unsigned>(at_most(blocks_for(units, element_threads), grid_x_limit));
  run_elements<<<blocks, element_threads, 0, native(stream)>>>(elements, kernel);
  cuda::check_launch(Kernel::name);
}

template <class Kernel>
void cuda_rows(const Stream& stream, RowsShape shape, const Kernel& kernel) {
  prepare<Kernel>(stream);
  if (shape.row_elements <= warp_row_elements) {
    const auto blocks = static_cast<unsigned>(at_most(blocks_for(shape.rows, warp_row_threads / 32), grid_x_limit));
    run_rows_by_warp<<<blocks, warp_row_threads, 0, native(stream)>>>(shape.rows, kernel);
  } else {
    const int threads = shape.row_elements <= block_row_elements ? long_row_threads : longest_row_threads;
    const auto blocks = static_cast<unsigned>(at_most(shape.rows, grid_x_limit));
    run_rows_by_block<<<blocks, threads, 0, native(stream)>>>(shape.rows, kernel);
  }
  cuda::check_launch(Kernel::name);
}

template <class Kernel>
void cuda_columns(const Stream& stream, ColumnsShape shape, const Kernel& kernel) {
  prepare<Kernel>(stream);
  const std::int64_t tiles = blocks_for(blocks_for(shape.features, shape.pack), column_threads);
  const dim3 grid(static_cast<unsigned>(at_most(tiles, grid_x_limit)),
                  static_cast<unsigned>(at_most(shape.stripes, grid_y_limit)));
  run_columns<<<grid, column_threads, 0, native(stream)>>>(shape.stripes, tiles, kernel);
  cuda::check_launch(Kernel::name);
}

}  // namespace trireme::detail
