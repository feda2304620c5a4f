#include "core/ops/cosine_similarity.hpp"

#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/reduce.hpp"
#include "core/ops/rms_norm.hpp"

namespace trireme::ops {

Value cosine_similarity(Context& context, const Value& a, const Value& b, double epsilon) {
  require(a.shape() == b.shape() && a.dtype() == b.dtype() && a.shape().dims() > 0,
          "cosine_similarity: the vectors are {} of {} and {} of {}; wanted (..., C) of one shape and type", a.shape(),
          name_of(a.dtype()), b.shape(), name_of(b.dtype()));
  const Tensor ones = context.empty({a.shape()[-1]}, a.dtype());
  with_floating(a.dtype(), "cosine_similarity", [&](auto zero) {
    using T = decltype(zero);
    launch_elements(context.stream(), ones.elements(), kernels::Fill<T>{ones.data<T>(), 1});
  });
  // Vectors of length sqrt(C), whose product's mean is the cosine: no square of theirs leaves the range of 16 bits.
  const Value of_a = rms_norm(context, a, ones, epsilon), of_b = rms_norm(context, b, ones, epsilon);
  return mean(context, mul(context, of_a, of_b), Over::last_dim);
}

}  // namespace trireme::ops
