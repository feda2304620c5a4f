#include "core/ops/repeated_product.hpp"

namespace trireme::ops {
namespace {

using dnnl::memory;

constexpr std::int64_t repeated_kind = 7, lay_out_kind = 8;

memory::desc right_form(const Product& p) {
  if (p.transpose_b == Transpose::no) return onednn::row_major({p.k, p.n});
  return onednn::row_major({p.n, p.k}).permute_axes({1, 0});
}

onednn::Plan repeated_plan(const Product& p) {
  const memory::desc free({p.k, p.n}, memory::data_type::f32, memory::format_tag::any);
  const dnnl::matmul::desc desc(onednn::row_major({p.m, p.k}), free, onednn::row_major({p.m, p.n}));
  const dnnl::matmul::primitive_desc made(desc, onednn::attributes(), onednn::engine());
  return {.primitive = dnnl::matmul(made), .weights = made.weights_desc(), .scratchpad = made.scratchpad_desc()};
}

}  // namespace

RepeatedProduct::RepeatedProduct(Context& context, Product product, std::int64_t times)
    : context_(&context), product_(std::move(product)) {
  const Product& p = product_;
  require(!p.a && p.batches == 1 && p.transpose_a == Transpose::no && !p.bias && p.finish == Product::Finish::none,
          "a repeated product takes one matrix by another, and nothing beside");
  constexpr std::int64_t worth_it = 3;
  if (times < worth_it || p.b.dtype() != DType::f32 || p.b.device().kind != Device::Kind::cpu || p.m * p.n * p.k == 0)
    return;
  onednn::guarded("product", [&] {
    plan_ = onednn::plan_for(onednn::key_of({repeated_kind, p.m, p.n, p.k}), [&] { return repeated_plan(p); });
    const auto turned = static_cast<std::int64_t>(p.transpose_b);
    const auto reorder = onednn::plan_for(onednn::key_of({lay_out_kind, p.m, p.n, p.k, turned}), [&] {
      return onednn::reorder_plan(right_form(p), plan_->weights, Write::overwrite);
    });
    laid_out_ = context.empty({static_cast<std::int64_t>(plan_->weights.get_size() / sizeof(float))}, DType::f32);
    onednn::run(
        "reorder", *reorder,
        {{DNNL_ARG_FROM, onednn::view(right_form(p), p.b)}, {DNNL_ARG_TO, onednn::view(plan_->weights, laid_out_)}});
  });
}

void RepeatedProduct::operator()(const Tensor& a, const Tensor& c) const {
  if (!plan_) {
    Product whole = product_;
    whole.a = a;
    return product_into(*context_, whole, {c, Write::overwrite});
  }
  onednn::run("product", *plan_,
              {{DNNL_ARG_SRC, onednn::view(onednn::row_major({product_.m, product_.k}), a)},
               {DNNL_ARG_WEIGHTS, onednn::view(plan_->weights, laid_out_)},
               {DNNL_ARG_DST, onednn::view(onednn::row_major({product_.m, product_.n}), c)}});
}

}  // namespace trireme::ops
