// Shared by the losses over rows of logits (cross_entropy.cpp, linear_cross_entropy.cpp): checks, what is kept per row,
// and launches over a range of rows whose logits are at hand.
#pragma once

#include "core/ops/cross_entropy.hpp"

namespace trireme::ops {

/// What the logits are or would be.
struct LogitsKind {
  Shape shape;  ///< (rows, classes).
  DType dtype;
};

struct CrossEntropyTask {
  Tensor labels;
  CrossEntropyOptions options;
  Tensor top, scale;  ///< Two numbers per row for the gradient.
  Tensor row_totals;  ///< f64 (3, rows).
  std::int64_t classes;

  /// `op` is named in messages. Checks labels and options against the logits, and labels in host memory.
  static CrossEntropyTask make(Context& context, const char* op, const LogitsKind& logits,
                               const std::pair<const Tensor&, const CrossEntropyOptions&>& given);

  std::int64_t rows() const { return top.elements(); }

  /// Rows [first, first + logits' rows): the two numbers and the row's totals.
  void forward(Context& context, const Tensor& logits, std::int64_t first) const;

  /// The gradient of these rows times dloss[0]; `to` may be the logits themselves.
  struct Rows {
    Tensor logits, dloss;
    std::int64_t first;
    Destination to;
  };
  void backward(Context& context, const Rows& rows) const;

  /// Adds up the rows' totals; the loss is f64 for logits of f64, else f32.
  struct Sums {
    Tensor loss, totals;
  };
  Sums sums(Context& context) const;
};

}  // namespace trireme::ops
