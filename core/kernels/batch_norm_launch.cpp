// Instantiates the kernels of batch_norm.hpp.
#include "core/kernels/batch_norm.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_COLUMNS(CentredSquares<float>);
TRIREME_LAUNCH_COLUMNS(NormGradientSums<float>);
TRIREME_LAUNCH_ELEMENTS(ColumnTotal<float>);
TRIREME_LAUNCH_ELEMENTS(Statistic<float>);
TRIREME_LAUNCH_ELEMENTS(GroupTotals<float>);
TRIREME_LAUNCH_ROWS(NormForward<float>);
TRIREME_LAUNCH_ROWS(NormGradient<float>);
TRIREME_LAUNCH_COLUMNS(CentredSquares<double>);
TRIREME_LAUNCH_COLUMNS(NormGradientSums<double>);
TRIREME_LAUNCH_ELEMENTS(ColumnTotal<double>);
TRIREME_LAUNCH_ELEMENTS(Statistic<double>);
TRIREME_LAUNCH_ELEMENTS(GroupTotals<double>);
TRIREME_LAUNCH_ROWS(NormForward<double>);
TRIREME_LAUNCH_ROWS(NormGradient<double>);
}  // namespace trireme
