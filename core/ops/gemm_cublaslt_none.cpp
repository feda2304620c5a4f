// Products on a GPU in a build without CUDA: there is no GPU.
#ifndef TRIREME_HAS_CUDA

#include "core/ops/gemm_cublaslt.hpp"

namespace trireme::ops::cublaslt {

void product_into(Context& context, const Product&, const Destination&) {
  fail(ExitCode::usage, "a product on {}, but {}; use --device cpu", context.device().name(),
       cuda_unavailable_reason());
}

}  // namespace trireme::ops::cublaslt

#endif
