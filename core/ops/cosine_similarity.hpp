// How alike the directions of vectors are, of any floating type, with gradients.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

/// a . b / (|a| |b|) over the last dim: (..., C), (..., C) -> (...), of one shape and type. `epsilon` stands beside the
/// mean square of each vector, so that one of zeros is like nothing: 0, with a finite gradient.
Value cosine_similarity(Context& context, const Value& a, const Value& b, double epsilon = 1e-12);

}  // namespace trireme::ops
