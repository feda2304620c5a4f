// Products of matrices as gradient functions need them: transposed operands, writing or adding into given memory, an
// epilogue of bias and ReLU. f32 on a CPU by oneDNN, 16-bit types by way of f32 (half_product.hpp), all else by the
// text of core/kernels/matmul_reference.hpp.
#pragma once

#include "core/tape/context.hpp"

namespace trireme::ops {

/// Whether the last two dims of an operand count as exchanged.
enum class Transpose : std::uint8_t { no, yes };

/// c = beta * c + op(a) op(b) for each of `batches` matrices; op(a) is (m, k), op(b) is (k, n). Operands are contiguous
/// and of one floating dtype; c is of the same, or f32 where they have 16 bits. Sums are f32, or f64 for f64.
struct Product {
  Tensor a, b;
  std::int64_t m, n, k, batches = 1;
  Transpose transpose_a = Transpose::no, transpose_b = Transpose::no;
  /// Added to every row; (n) or null. With bias or relu the destination must be overwritten.
  Tensor bias = {};
  enum class Finish : std::uint8_t { none, relu } finish = Finish::none;
};

/// Which arithmetic a product uses; `reference` is for comparisons.
enum class Backend : std::uint8_t { best, reference };

void product_into(Context& context, const Product& product, const Destination& to, Backend backend = Backend::best);

/// y (batches, columns, rows) = x (batches, rows, columns) with its last two dims exchanged, in the step's memory.
struct MatrixExtents {
  std::int64_t batches, rows, columns;
};
Tensor transposed(Context& context, const Tensor& x, const MatrixExtents& extents);

/// The gradient before a fused ReLU from the one after it: zero where y is not positive. Changes the gradient in place
/// where nobody else holds its memory.
Tensor gradient_before_relu(Context& context, Gradients& gradients, const Tensor& y);

}  // namespace trireme::ops
