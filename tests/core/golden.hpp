// Reads the goldens of tests/golden/ops (made by the scripts there): named tensors of f32, i32 and u8, and how far
// results are from them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "core/io/safetensors.hpp"
#include "core/tape/context.hpp"

namespace trireme {

/// Relative to the norm of each tensor: what a user may rely on.
constexpr double golden_tolerance = 2e-4;

class Golden {
 public:
  explicit Golden(const std::string& name)
      : files_(std::string(TRIREME_SOURCE_DIR) + "/tests/golden/ops/" + name + ".safetensors") {}

  bool has(const std::string& name) const { return files_.find(name) != nullptr; }
  /// A tensor of f32 (as `dtype`), i32 or u8.
  Tensor tensor(const std::string& name, DType dtype = DType::f32) const {
    const SafeTensor* const found = files_.find(name);
    require(found != nullptr, "the goldens have no {}", name);
    if (found->dtype == "U8") return read<std::uint8_t>(*found);
    if (found->dtype == "I32") return read<std::int32_t>(*found);
    const Tensor narrow = read<float>(*found);
    if (dtype == DType::f32) return narrow;
    const std::vector<float> values = narrow.to_vector<float>();
    return Tensor::from(std::vector<double>(values.begin(), values.end()), found->shape);
  }

 private:
  template <class T>
  Tensor read(const SafeTensor& tensor) const {
    std::vector<T> values(static_cast<std::size_t>(tensor.shape.elements()));
    files_.read(tensor, 0, std::as_writable_bytes(std::span(values)));
    return Tensor::from(values, tensor.shape);
  }
  SafeTensors files_;
};

inline std::vector<double> doubles_of(const Tensor& tensor) {
  if (tensor.dtype() == DType::f64) return tensor.to_vector<double>();
  const std::vector<float> narrow = tensor.to_vector<float>();
  return {narrow.begin(), narrow.end()};
}

/// |found - wanted| / |wanted|.
inline double apart(const Tensor& found, const Tensor& wanted) {
  const std::vector<double> a = doubles_of(found), b = doubles_of(wanted);
  if (a.size() != b.size()) return INFINITY;
  double difference = 0, norm = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    difference += (a[k] - b[k]) * (a[k] - b[k]);
    norm += b[k] * b[k];
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

}  // namespace trireme
