// Tokens of a batch of sequences that select rows of tables: by an index each, or by their place in the sequence.
#pragma once

#include <cstdint>

#include "core/base/half.hpp"

namespace trireme::kernels {

/// Which table row each token uses: `of[token]`, or where `of` is null first + token % time (the positions of a batch).
struct TokenIndex {
  const std::int32_t* of;
  std::int64_t time, first;
  std::int64_t rows;  ///< Of the table; an index outside [0, rows) is no row.

  TRIREME_HD std::int64_t at(std::int64_t token) const { return of ? of[token] : first + token % time; }
  TRIREME_HD bool valid(std::int64_t token) const { return at(token) >= 0 && at(token) < rows; }
};

}  // namespace trireme::kernels
