// Dropout (Srivastava et al. 2014): in training each element is zeroed with a given probability and the others are
// scaled by 1 / (1 - probability). The draws are Philox keyed by (seed, layer, step, sample, element), so the result
// does not depend on how the batch is split over parts, and nothing is kept: backward draws them again.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

struct DropoutOptions {
  double probability = 0.5;          ///< In [0, 1).
  std::int64_t rows_per_sample = 1;  ///< Rows of dim 0 that belong to one sample, e.g. T for x of (B * T, C).
};

/// x of any shape whose dim 0 counts rows; f32 or f64. Returns x itself in eval mode or with probability 0.
Value dropout(Context& context, const Value& x, const DropoutOptions& options = {});

}  // namespace trireme::ops
