// Instantiates the kernels of reduce.hpp.
#include "core/kernels/reduce.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_COLUMNS(ColumnSum<float>);
TRIREME_LAUNCH_COLUMNS(ColumnSum<double>);
TRIREME_LAUNCH_COLUMNS(ColumnSum<BFloat16>);
TRIREME_LAUNCH_COLUMNS(ColumnSum<Float16>);
TRIREME_LAUNCH_ELEMENTS(ColumnFinish<float>);
TRIREME_LAUNCH_ELEMENTS(ColumnFinish<double>);
TRIREME_LAUNCH_ELEMENTS(ColumnFinish<BFloat16>);
TRIREME_LAUNCH_ELEMENTS(ColumnFinish<Float16>);
TRIREME_LAUNCH_ROWS(RowSum<float>);
TRIREME_LAUNCH_ROWS(RowSum<double>);
TRIREME_LAUNCH_ROWS(RowSum<BFloat16>);
TRIREME_LAUNCH_ROWS(RowSum<Float16>);
TRIREME_LAUNCH_ROWS(ChunkSum<float>);
TRIREME_LAUNCH_ROWS(ChunkSum<double>);
TRIREME_LAUNCH_ROWS(ChunkSum<BFloat16>);
TRIREME_LAUNCH_ROWS(ChunkSum<Float16>);
TRIREME_LAUNCH_ROWS(ChunkFinish<float>);
TRIREME_LAUNCH_ROWS(ChunkFinish<double>);
TRIREME_LAUNCH_ROWS(ChunkFinish<BFloat16>);
TRIREME_LAUNCH_ROWS(ChunkFinish<Float16>);
TRIREME_LAUNCH_ROWS(Spread<float>);
TRIREME_LAUNCH_ROWS(Spread<double>);
TRIREME_LAUNCH_ROWS(Spread<BFloat16>);
TRIREME_LAUNCH_ROWS(Spread<Float16>);
TRIREME_LAUNCH_ROWS(ArgMax<float>);
TRIREME_LAUNCH_ROWS(ArgMax<double>);
TRIREME_LAUNCH_ROWS(ArgMax<BFloat16>);
TRIREME_LAUNCH_ROWS(ArgMax<Float16>);
}  // namespace trireme
