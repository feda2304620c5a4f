// Batch normalisation over all dims but the last: (rows, C) or (B, H, W, C), f32 or f64. In training the statistics are
// those of the whole batch over all parts (context.peers(), two messages forward, one backward), or of fixed groups of
// consecutive samples; either way the result does not depend on the number of parts.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

struct BatchNormOptions {
  enum class Statistics : std::uint8_t {
    synchronised,  ///< Over the whole batch of all parts.
    ghost_groups   ///< Over each `group` consecutive samples of the stream (Hoffer et al. 2017, arXiv:1705.08741).
  };
  Statistics statistics = Statistics::synchronised;
  std::int64_t group = 32;  ///< Samples; every part must hold whole groups.
  double momentum = 0.1;    ///< running = (1 - momentum) running + momentum batch.
  double epsilon = 1e-5;
};

/// Used in evaluation and updated in training, equally on all parts. The running variance is the unbiased one
/// (divided by count - 1), the batch is normalised with the biased one, as is usual. For ghost groups both are the
/// means over all groups.
struct RunningStatistics {
  Tensor mean, variance;  ///< (C)
};

struct BatchNormValues {
  Value gain, bias;  ///< (C)
  RunningStatistics running;
};

Value batch_norm(Context& context, const Value& x, const BatchNormValues& layer, const BatchNormOptions& options = {});

}  // namespace trireme::ops
