#include "core/device/device.hpp"

#include <fmt/format.h>

#include "core/device/cuda.hpp"

namespace trireme {

std::string Device::name() const {
  switch (kind) {
    case Kind::cuda:
      return fmt::format("cuda:{}", index);
    case Kind::meta:
      return "meta";
    case Kind::cpu:
      break;
  }
  return "cpu";
}

int cuda_device_count() { return cuda::device_count(); }
std::string cuda_unavailable_reason() { return cuda::device_count() > 0 ? std::string() : cuda::unavailable_reason(); }

}  // namespace trireme
