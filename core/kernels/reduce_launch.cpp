// Instantiates the kernels of reduce.hpp.
#include "core/kernels/reduce.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_COLUMNS(ColumnSum<float>);
TRIREME_LAUNCH_COLUMNS(ColumnSum<double>);
TRIREME_LAUNCH_ELEMENTS(ColumnFinish<float>);
TRIREME_LAUNCH_ELEMENTS(ColumnFinish<double>);
TRIREME_LAUNCH_ROWS(RowSum<float>);
TRIREME_LAUNCH_ROWS(RowSum<double>);
TRIREME_LAUNCH_ROWS(ChunkSum<float>);
TRIREME_LAUNCH_ROWS(ChunkSum<double>);
TRIREME_LAUNCH_ROWS(ChunkFinish<float>);
TRIREME_LAUNCH_ROWS(ChunkFinish<double>);
TRIREME_LAUNCH_ROWS(Spread<float>);
TRIREME_LAUNCH_ROWS(Spread<double>);
TRIREME_LAUNCH_ROWS(ArgMax<float>);
TRIREME_LAUNCH_ROWS(ArgMax<double>);
}  // namespace trireme
