// A build without NCCL: asking for it is an error that says what is missing.
#ifndef TRIREME_HAS_NCCL

#include "comm/nccl_api.hpp"
#include "core/base/error.hpp"

namespace trireme::nccl {

std::string unavailable_reason() {
  return "this build has no NCCL (CUDA and nccl.h were not both found when it was configured)";
}

std::shared_ptr<Api> open_library(Device) {
  fail(ExitCode::usage,
       "NCCL was asked for, but {}; install libnccl-dev (NVIDIA's packages) and configure again, or let MPI carry the "
       "GPU's data",
       unavailable_reason());
}

}  // namespace trireme::nccl

#endif
