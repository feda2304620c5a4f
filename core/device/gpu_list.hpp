// The GPUs this process may use, told apart by where they are plugged in: two processes of a host that are shown one
// GPU each may mean the same one or two different ones.
#pragma once

#include <string>
#include <vector>

namespace trireme {

struct GpuFacts {
  std::string place;  ///< PCI address, "0000:17:00.0".
  std::string name;   ///< "NVIDIA H100 80GB HBM3".
};

/// In the order of their device numbers; empty where cuda_device_count() is 0. Opens the driver when first called.
std::vector<GpuFacts> gpus_of_process();

}  // namespace trireme
