#include "comm/parallel/pieces.hpp"

#include <algorithm>

#include "core/base/checked.hpp"

namespace trireme {
namespace {

/// Byte total * part / parts without overflow.
std::int64_t cut(std::int64_t total, int part, int parts) {
  return total / parts * part + total % parts * part / parts;
}

}  // namespace

std::vector<PieceRange> pieces_of(std::span<const TensorSize> tensors, int part, int parts) {
  require(parts > 0 && part >= 0 && part < parts, "part {} of {} has no pieces", part, parts);
  std::int64_t total = 0;
  for (const TensorSize& one : tensors)
    total = checked_add(total, checked_mul(one.elements, narrow<std::int64_t>(one.element_bytes)));
  const std::int64_t low = cut(total, part, parts), high = cut(total, part + 1, parts);
  std::vector<PieceRange> out;
  std::int64_t begin = 0;
  for (std::size_t k = 0; k < tensors.size(); ++k) {
    const auto bytes = static_cast<std::int64_t>(tensors[k].element_bytes);
    // An element belongs to the part in which its first byte lies.
    const auto element_at = [&](std::int64_t byte) {
      return byte <= begin ? 0 : std::min(ceil_div(byte - begin, bytes), tensors[k].elements);
    };
    const std::int64_t first = element_at(low), last = element_at(high);
    if (last > first) out.push_back({k, first, last - first});
    begin += tensors[k].elements * bytes;
  }
  return out;
}

}  // namespace trireme
