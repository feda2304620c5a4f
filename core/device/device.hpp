// Where tensors live and computations run. A Device is a value that is passed along, never a global. `meta` has shapes
// but no storage: a forward pass on it plans memory and execution order without computing.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

struct Device {
  enum class Kind : std::uint8_t { cpu, cuda, meta };
  Kind kind = Kind::cpu;
  int index = 0;

  static Device cpu() { return {}; }
  static Device cuda(int index) { return {Kind::cuda, index}; }
  static Device meta() { return {Kind::meta, 0}; }
  bool is_meta() const { return kind == Kind::meta; }
  bool is_cuda() const { return kind == Kind::cuda; }

  /// "cpu", "cuda:1" or "meta".
  std::string name() const;
  friend bool operator==(const Device&, const Device&) = default;
};

/// How many GPUs this process can use; 0 in a build without CUDA and on a machine without a driver.
int cuda_device_count();
/// Why cuda_device_count() is 0, for messages; empty when it is not.
std::string cuda_unavailable_reason();

}  // namespace trireme
