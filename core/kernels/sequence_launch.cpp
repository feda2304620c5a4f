// Instantiates the kernels of recurrent.hpp and masked_softmax.hpp.
#include "core/kernels/launch_impl.hpp"
#include "core/kernels/masked_softmax.hpp"
#include "core/kernels/recurrent.hpp"

namespace trireme {

#define TRIREME_SEQUENCE(T)                  \
  TRIREME_LAUNCH_ROWS(SequenceToSteps<T>);   \
  TRIREME_LAUNCH_ROWS(RecurrentForward<T>);  \
  TRIREME_LAUNCH_ROWS(RecurrentGradient<T>); \
  TRIREME_LAUNCH_ROWS(MaskedSoftmax<T>)

TRIREME_SEQUENCE(float);
TRIREME_SEQUENCE(double);
TRIREME_SEQUENCE(BFloat16);
TRIREME_SEQUENCE(Float16);

}  // namespace trireme
