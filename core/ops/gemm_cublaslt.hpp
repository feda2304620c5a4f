// Products on a GPU by cuBLASLt. Row-major matrices are the library's column-major ones with rows and columns
// exchanged, so c = op(a) op(b) is asked for as c^T = op(b)^T op(a)^T: b is the library's left operand, a its right
// one, and nothing is moved. Internal to core/ops.
#pragma once

#include "core/ops/gemm.hpp"

namespace trireme::ops {

/// The sums over k that a product asks for, in passes of their own.
void product_sums(Context& context, const Product& product);

namespace cublaslt {
/// As ops::product_into, for extents that are not 0. The library's scratch memory is the step's.
void product_into(Context& context, const Product& product, const Destination& to);
}  // namespace cublaslt

}  // namespace trireme::ops
