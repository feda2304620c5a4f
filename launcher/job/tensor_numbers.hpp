// Numbers about tensors in checkpoints: of one, and of the difference of two. All bytes are checked against
// their checksums; memory does not grow with the tensor. Sums of 4-byte and smaller elements are in f64,
// those of 8-byte ones in the wider long double.
#pragma once

#include <cstdint>

#include "launcher/run/checkpoint_reader.hpp"

namespace trireme {

struct SavedIn {
  const CheckpointReader* reader;
  const SavedTensor* tensor;
};

/// Of the finite elements: `count` of them; all zero where there are none. `deviation` is sqrt(mean((x - mean)^2)).
struct TensorNumbers {
  std::int64_t count = 0;
  std::int64_t not_finite = 0;
  double smallest = 0, largest = 0;
  double mean = 0, deviation = 0, norm = 0;
};

TensorNumbers numbers_of(const SavedIn& saved);

struct TensorDifference {
  std::int64_t differing = 0;  ///< Elements that are not equal bit for bit.
  double largest = 0;          ///< max |a - b|; infinite where a finite element meets one that is not.
  double relative = 0;         ///< ||a - b|| / max(||a||, ||b||) of finite elements; infinite as above.
};

/// The two have one shape and one element type; their pieces may be cut differently.
TensorDifference difference_of(const SavedIn& a, const SavedIn& b);

}  // namespace trireme
