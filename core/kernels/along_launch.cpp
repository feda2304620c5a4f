// Instantiates the kernels of along.hpp.
#include "core/kernels/along.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {

#define TRIREME_ALONG(T)                     \
  TRIREME_LAUNCH_ELEMENTS(Where<T>);         \
  TRIREME_LAUNCH_ELEMENTS(WhereGradient<T>); \
  TRIREME_LAUNCH_ELEMENTS(RunTotals<T>);     \
  TRIREME_LAUNCH_ELEMENTS(RunSums<T>);       \
  TRIREME_LAUNCH_ROWS(TakeAlong<T>);         \
  TRIREME_LAUNCH_ROWS(ScatterAlong<T>);      \
  TRIREME_LAUNCH_ROWS(TopK<T>)

TRIREME_ALONG(float);
TRIREME_ALONG(double);
TRIREME_ALONG(BFloat16);
TRIREME_ALONG(Float16);

}  // namespace trireme
