// Products of many left operands, one after the other, with the same right one, as the steps of a recurrent layer make:
// f32 on a CPU lays the right one out for them once. Internal to core/ops; include it in source files only.
#pragma once

#include "core/ops/gemm.hpp"
#include "core/ops/onednn.hpp"

namespace trireme::ops {

class RepeatedProduct {
 public:
  /// A product of one batch with a null `a`, without a bias, a finish or sums, about `times` times. Its `b` must not
  /// change meanwhile.
  RepeatedProduct(Context& context, Product product, std::int64_t times);
  /// c = a op(b).
  void operator()(const Tensor& a, const Tensor& c) const;

 private:
  Context* context_;
  Product product_;
  std::shared_ptr<const onednn::Plan> plan_;  ///< Null where each product is computed as any other.
  Tensor laid_out_;
};

}  // namespace trireme::ops
