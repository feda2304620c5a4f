// Arithmetic on sizes that refuses to wrap: shapes and offsets come from files and options, so a product may overflow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/base/error.hpp"

namespace trireme {

inline std::int64_t checked_mul(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  require(!__builtin_mul_overflow(a, b, &out), "size {} x {} does not fit in 64 bits", a, b);
  return out;
}

inline std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  require(!__builtin_add_overflow(a, b, &out), "size {} + {} does not fit in 64 bits", a, b);
  return out;
}

/// `n` as another integer type; throws where the value does not fit.
template <class To, class From>
To narrow(From n) {
  const To out = static_cast<To>(n);
  require(static_cast<From>(out) == n && ((out < To{}) == (n < From{})), "the number {} does not fit its type", n);
  return out;
}

inline std::size_t to_size(std::int64_t n) {
  require(n >= 0, "a size of {} is negative", n);
  return static_cast<std::size_t>(n);
}

inline std::int64_t ceil_div(std::int64_t n, std::int64_t d) { return (n + d - 1) / d; }
inline std::int64_t round_up(std::int64_t n, std::int64_t to) { return ceil_div(n, to) * to; }

}  // namespace trireme
