#include "core/ops/permute_plan.hpp"

#include <vector>

namespace trireme::ops {
namespace {

/// A run of dims, in the order of the result, with its strides on both sides.
struct Dim {
  std::int64_t extent, x_stride, y_stride;
};

std::vector<Dim> merged_dims(const Shape& x, std::span<const int> order) {
  std::vector<Dim> out;
  for (const int dim : order) {
    const std::int64_t extent = x[dim], stride = x.elements_from(dim + 1);
    if (extent == 1) continue;
    if (!out.empty() && out.back().x_stride == extent * stride) {
      out.back() = {out.back().extent * extent, stride, 0};
    } else {
      out.push_back({extent, stride, 0});
    }
  }
  if (out.empty()) out.push_back({1, 1, 1});
  std::int64_t stride = 1;
  for (auto at = out.rbegin(); at != out.rend(); ++at) {
    at->y_stride = stride;
    stride *= at->extent;
  }
  return out;
}

}  // namespace

PermutePlan plan_permute(const Shape& x, std::span<const int> order) {
  const std::vector<Dim> dims = merged_dims(x, order);
  const Dim& last = dims.back();
  PermutePlan plan{.outer = {},
                   .rows = x.elements() == 0 ? 0 : 1,
                   .same_inner = last.x_stride == 1,
                   .x_inner = 1,
                   .y_inner = last.extent,
                   .x_stride = last.x_stride,
                   .y_stride = 1};
  for (std::size_t k = 0; k + 1 < dims.size(); ++k) {
    if (!plan.same_inner && dims[k].x_stride == 1) {
      plan.x_inner = dims[k].extent;
      plan.y_stride = dims[k].y_stride;
      continue;
    }
    plan.outer.extent[plan.outer.dims] = dims[k].extent;
    plan.outer.x_stride[plan.outer.dims] = dims[k].x_stride;
    plan.outer.y_stride[plan.outer.dims++] = dims[k].y_stride;
    plan.rows *= dims[k].extent;
  }
  return plan;
}

}  // namespace trireme::ops
