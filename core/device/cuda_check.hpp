// Checks of CUDA run-time calls. A failed call throws an Error with the call's text, where it stands, CUDA's own text
// and what to change. A failing kernel is often reported by some later call, and from then on by every call: the first
// report is kept and repeated in each later one, and destructors, which cannot throw, stay quiet once there is one.
#pragma once

#include <cuda_runtime_api.h>

#include <source_location>

namespace trireme::cuda {

/// Throws unless `status` is cudaSuccess; `call` is the source text of the call.
void check(cudaError_t status, const char* call, std::source_location where = std::source_location::current());
/// Throws where the last launch of this thread was refused; `kernel` is the kernel's name.
void check_launch(const char* kernel, std::source_location where = std::source_location::current());
/// For destructors: logs the failure if it is the first one of the process, else does nothing.
void check_quietly(cudaError_t status, const char* call) noexcept;
/// What a user can do about `status`.
const char* advice(cudaError_t status);
/// Makes `device` the calling thread's current device. Every call that needs one says which: nobody relies on the last.
void use_device(int device);

}  // namespace trireme::cuda

#define TRIREME_CUDA(call) ::trireme::cuda::check((call), #call)
