// See cuda_check.hpp; also what to change for each kind of failure.
#ifdef TRIREME_HAS_CUDA

#include "core/device/cuda_check.hpp"

#include <mutex>
#include <string>

#include "core/base/error.hpp"
#include "core/base/log.hpp"

namespace trireme::cuda {

const char* advice(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return "use a smaller batch or model, or stop the other programs on this GPU (nvidia-smi lists them)";
    case cudaErrorInvalidDevice:
      return "use a smaller device number; CUDA_VISIBLE_DEVICES may hide GPUs";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
      return "the program was built for another kind of GPU; configure with -DCMAKE_CUDA_ARCHITECTURES=native and "
             "rebuild";
    case cudaErrorDevicesUnavailable:
      return "another process holds the GPU exclusively; stop it or choose another GPU";
    case cudaErrorInsufficientDriver:
      return "install a newer NVIDIA driver";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
      return "an earlier kernel failed; CUDA_LAUNCH_BLOCKING=1 or compute-sanitizer shows which";
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
      return "the GPU itself is faulty: use another one";
    default:
      return "run with CUDA_LAUNCH_BLOCKING=1 to see the call that fails first";
  }
}

namespace {

class FirstFailure {
 public:
  /// Keeps `text` if it is the first; otherwise returns the one that was.
  std::string keep(const std::string& text) {
    const std::lock_guard lock(guard_);
    if (!text_.empty()) return text_;
    text_ = text;
    return {};
  }

 private:
  std::mutex guard_;
  std::string text_;
};

// Never destroyed: buffers of static life are released after everything else.
FirstFailure& first_failure() {
  static FirstFailure& only = *new FirstFailure;
  return only;
}

std::string describe(cudaError_t status, const std::string& what, const std::source_location& where) {
  return fmt::format("{} at {}:{} failed: {} ({}); {}", what, where.file_name(), where.line(),
                     cudaGetErrorString(status), cudaGetErrorName(status), advice(status));
}

[[noreturn]] void report(cudaError_t status, const std::string& what, const std::source_location& where) {
  cudaGetLastError();  // an error that CUDA can go on from must not show up again in the next launch check
  const std::string text = describe(status, what, where);
  const std::string first = first_failure().keep(text);
  if (first.empty() || first == text) fail(ExitCode::failure, "{}", text);
  fail(ExitCode::failure, "{}\nthe first failed CUDA call of this process: {}", text, first);
}

}  // namespace

void check(cudaError_t status, const char* call, std::source_location where) {
  if (status != cudaSuccess) report(status, call, where);
}

void check_launch(const char* kernel, std::source_location where) {
  if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess)
    report(status, fmt::format("starting the kernel '{}'", kernel), where);
}

void check_quietly(cudaError_t status, const char* call) noexcept {
  // Static objects may outlive the run-time library; there is nothing left to free then.
  if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;
  try {
    const std::string text = describe(status, call, std::source_location::current());
    if (first_failure().keep(text).empty()) log::error("{}", text);
  } catch (...) {  // no memory for the message: the first call that throws will say it
  }
}

}  // namespace trireme::cuda

#endif
