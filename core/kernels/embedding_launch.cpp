// Instantiates the kernels of embedding.hpp.
#include "core/kernels/embedding.hpp"

#include "core/kernels/launch_impl.hpp"

namespace trireme {
TRIREME_LAUNCH_ROWS(EmbeddingForward<float>);
TRIREME_LAUNCH_ROWS(EmbeddingForward<double>);
TRIREME_LAUNCH_ROWS(EmbeddingForward<BFloat16>);
TRIREME_LAUNCH_ROWS(EmbeddingForward<Float16>);
TRIREME_LAUNCH_ROWS(TokenChain);
TRIREME_LAUNCH_ROWS(EmbeddingGradient<float>);
TRIREME_LAUNCH_ROWS(EmbeddingGradient<double>);
TRIREME_LAUNCH_ROWS(EmbeddingGradient<BFloat16>);
TRIREME_LAUNCH_ROWS(EmbeddingGradient<Float16>);
TRIREME_LAUNCH_ROWS(EmbeddingGradient<BFloat16, float>);
TRIREME_LAUNCH_ROWS(EmbeddingGradient<Float16, float>);
}  // namespace trireme
