// Starts kernels. A kernel is a struct whose fields are its arguments and whose call operator is a template on the
// team. Three shapes: elements (a pack at a time), rows (a team per row) and columns (row stripe x column tile, written
// as partial sums that a second launch adds in a fixed order, so results never depend on timing or thread count).
//
// Each kernel type is instantiated once, in a core/kernels/*_launch.cpp file that includes launch_impl.hpp and says
// TRIREME_LAUNCH_ELEMENTS(Kernel<float>) and so on inside namespace trireme; nvcc compiles these files where CUDA is
// on, g++ otherwise. Ops only include this header. On the meta device nothing is run. Kernels name themselves: `static
// constexpr const char* name`.
#pragma once

#include <cstdint>

#include "core/device/stream.hpp"

namespace trireme {

/// How a row kernel is spread: `row_elements` elements of a row are dealt to the lanes of one team. `work` says how
/// many numbers an element stands for, by which a CPU decides whether threads are worth it.
struct RowsShape {
  std::int64_t rows;
  std::int64_t row_elements;
  std::int64_t work = 1;
};

/// How a column kernel is spread: `stripes` bands of rows, each over `features` columns; kernels find their tile's
/// first column as (tile * team.lanes() + team.lane()) * pack_width<T> and must check it against the number of columns.
/// A kernel with a serial_pack uses that in place of pack_width<T> on a SerialTeam.
struct ColumnsShape {
  std::int64_t stripes;
  std::int64_t features;
  int pack;
};

/// kernel(i, width) for packs of Kernel::pack consecutive elements and single ones at the end; on a CPU first for steps
/// of Kernel::serial_pack (a multiple of pack) where the kernel has one.
template <class Kernel>
void launch_elements(const Stream& stream, std::int64_t elements, const Kernel& kernel);

/// kernel(team, row).
template <class Kernel>
void launch_rows(const Stream& stream, RowsShape shape, const Kernel& kernel);

/// kernel(team, stripe, tile).
template <class Kernel>
void launch_columns(const Stream& stream, ColumnsShape shape, const Kernel& kernel);

/// Row stripes of a column sum: enough for parallel work, few enough for a cheap second pass; depends on shapes only.
struct Stripes {
  std::int64_t count, rows_each;
};
inline Stripes stripes_for(std::int64_t rows) {
  const std::int64_t each = rows <= 64 ? (rows > 0 ? rows : 1) : (rows / 64 > 64 ? (rows + 63) / 64 : 64);
  return {rows > 0 ? (rows + each - 1) / each : 0, each};
}

}  // namespace trireme
