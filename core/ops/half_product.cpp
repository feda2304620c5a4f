#include "core/ops/half_product.hpp"

#include "core/ops/half.hpp"

namespace trireme::ops {
namespace {

/// A part of the result, computed in f32: at its place, or beside it and then rounded.
template <class F>
void into(Context& context, const Destination& to, const F& compute) {
  if (to.tensor.dtype() == DType::f32) return compute(to);
  const Tensor sums = context.empty(to.tensor.shape(), DType::f32);
  compute({sums, Write::overwrite});
  write(context.stream(), {sums}, to);
}

struct Call {
  Context& context;
  const Product& product;
  const Destination& to;
  Backend backend;
};

/// Row after row of op(a) and of the result.
void by_rows(const Call& call) {
  Product wide = call.product;
  const Tensor a = wide.a.reshape({wide.m, wide.k}), c = call.to.tensor.reshape({wide.m, wide.n});
  wide.b = widened(call.context, wide.b);
  wide.bias = widened(call.context, wide.bias);
  for_each_part(wide.m, wide.k + wide.n, [&](std::int64_t first, std::int64_t count) {
    wide.a = widened(call.context, a.slice(first, count));
    wide.m = count;
    into(call.context, {c.slice(first, count), call.to.mode},
         [&](const Destination& to) { product_into(call.context, wide, to, call.backend); });
  });
}

/// Of a^T b: sums over parts of the depth, which are rows of both.
void by_depth(const Call& call) {
  Product wide = call.product;
  const Tensor a = wide.a.reshape({wide.k, wide.m}), b = wide.b.reshape({wide.k, wide.n});
  into(call.context, call.to, [&](const Destination& to) {
    for_each_part(call.product.k, wide.m + wide.n, [&](std::int64_t first, std::int64_t count) {
      wide.a = widened(call.context, a.slice(first, count));
      wide.b = widened(call.context, b.slice(first, count));
      wide.k = count;
      product_into(call.context, wide, {to.tensor, first == 0 ? to.mode : Write::accumulate}, call.backend);
    });
  });
}

void by_batches(const Call& call) {
  const Product& p = call.product;
  Product wide = p;
  const Tensor a = p.a.reshape({p.batches, p.m * p.k}), b = p.b.reshape({p.batches, p.k * p.n});
  const Tensor c = call.to.tensor.reshape({p.batches, p.m * p.n});
  wide.bias = widened(call.context, p.bias);
  for_each_part(p.batches, p.m * p.k + p.k * p.n + p.m * p.n, [&](std::int64_t first, std::int64_t count) {
    wide.a = widened(call.context, a.slice(first, count));
    wide.b = widened(call.context, b.slice(first, count));
    wide.batches = count;
    into(call.context, {c.slice(first, count), call.to.mode},
         [&](const Destination& to) { product_into(call.context, wide, to, call.backend); });
  });
}

}  // namespace

void half_product_into(Context& context, const Product& product, const Destination& to, Backend backend) {
  Product alone = product;
  alone.before = {};
  alone.sums_of_a = alone.sums_of_b = {};
  const Call call{context, alone, to, backend};
  const bool turned = product.transpose_a == Transpose::yes;
  const bool plain = !product.bias && product.finish == Product::Finish::none;
  if (product.batches == 1 && !turned) return by_rows(call);
  if (product.batches == 1 && product.transpose_b == Transpose::no && plain) return by_depth(call);
  by_batches(call);
}

}  // namespace trireme::ops
