// Elements of one floating type as those of another, for files: a block at a time, in host memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/tensor/dtype.hpp"

namespace trireme {

/// As many elements as `in` holds, whole ones; `out` has room for exactly those. To a wider type every value stays; to
/// a narrower one it is rounded to nearest even (f64 to 16 bits by way of f32), and what is too large becomes infinite.
/// Returns how many finite values did. Throws for types that are not floating.
std::int64_t convert_elements(DType from, std::span<const std::byte> in, DType to, std::span<std::byte> out);

}  // namespace trireme
