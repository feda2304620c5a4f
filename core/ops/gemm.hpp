// Products of matrices as gradient functions need them: transposed operands, writing or adding into given memory, an
// epilogue of bias and activation, and the gradient of a bias on the way. On a GPU by cuBLASLt, f32 on a CPU by oneDNN,
// 16-bit types elsewhere by way of f32 (half_product.hpp), all else by the text of core/kernels/matmul_reference.hpp.
#pragma once

#include <string>
#include <string_view>

#include "core/kernels/product_finish.hpp"
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
  /// Added to every row; (n) or null. With a bias or a finish the destination must be overwritten.
  Tensor bias = {};
  using Finish = kernels::Finish;
  Finish finish = Finish::none;
  /// The values before gelu_tanh_fit, for its gradient; of c's shape and type, or null.
  Tensor before = {};
  /// Where the sums over k of op(a) (m elements) or of op(b) (n) go as well: with k the rows of a batch, the gradient
  /// of a bias. For a transposed a or a b that is not, and one batch. Null tensors where they are not wanted.
  Destination sums_of_a = {}, sums_of_b = {};
};

/// Which arithmetic a product uses; `reference` is for comparisons.
enum class Backend : std::uint8_t { best, reference };

void product_into(Context& context, const Product& product, const Destination& to, Backend backend = Backend::best);

/// How a GPU's library finds its algorithm for a kind of product: the one that it expects to be fastest, or the fastest
/// of several, timed at the first use. Timings vary, so two runs may choose differently and then differ in rounding:
/// with `timed`, a run that must go on with the same bits keeps product_choices().
enum class ProductSearch : std::uint8_t { expected, timed };
/// For this process, from the next new kind of product on.
void set_product_search(ProductSearch search);
/// What was chosen so far, as text; empty where no GPU computed.
std::string product_choices();
/// Makes the choices of `text`, which came from product_choices(); those of another version of the library, or on
/// another kind of GPU, are ignored.
void keep_product_choices(std::string_view text);

/// y (batches, columns, rows) = x (batches, rows, columns) with its last two dims exchanged, in the step's memory.
struct MatrixExtents {
  std::int64_t batches, rows, columns;
};
Tensor transposed(Context& context, const Tensor& x, const MatrixExtents& extents);

/// The gradient before a fused gelu_tanh_fit from the one after it; `before` as in Product. In place like the one
/// below.
Tensor gradient_before_gelu(Context& context, Gradients& gradients, const Tensor& before);

/// The gradient before a fused ReLU from the one after it: zero where y is not positive. Changes the gradient in place
/// where nobody else holds its memory.
Tensor gradient_before_relu(Context& context, Gradients& gradients, const Tensor& y);

}  // namespace trireme::ops
