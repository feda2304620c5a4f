#include "core/device/gpu_list.hpp"

#include "core/device/device.hpp"

#ifdef TRIREME_HAS_CUDA
#include "core/device/cuda_check.hpp"
#endif

namespace trireme {

std::vector<GpuFacts> gpus_of_process() {
  std::vector<GpuFacts> out;
#ifdef TRIREME_HAS_CUDA
  const int count = cuda_device_count();
  for (int k = 0; k < count; ++k) {
    char place[32] = {};
    TRIREME_CUDA(cudaDeviceGetPCIBusId(place, sizeof place, k));
    cudaDeviceProp facts{};
    TRIREME_CUDA(cudaGetDeviceProperties(&facts, k));
    out.push_back({place, facts.name});
  }
#endif
  return out;
}

}  // namespace trireme
