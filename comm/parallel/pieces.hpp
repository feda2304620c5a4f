// How data-parallel ranks, which all hold the same tensors, divide the work of saving them: rank r takes the r-th of N
// equal ranges of the bytes of all tensors laid end to end, so that each byte is written once and all write alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trireme {

struct TensorSize {
  std::int64_t elements = 0;
  std::size_t element_bytes = 1;
};

/// Elements [first, first + count) of one of the tensors; count > 0.
struct PieceRange {
  std::size_t tensor = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// The pieces of `part` of `parts`, in the order of the tensors. Those of all parts cover every element exactly once;
/// a part's bytes differ from total / parts by less than one element.
std::vector<PieceRange> pieces_of(std::span<const TensorSize> tensors, int part, int parts);

}  // namespace trireme
