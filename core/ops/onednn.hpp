// What ops share to call oneDNN on the CPU: one engine, a bounded cache of compiled primitives keyed by shape, options
// and threads, and tensors seen as the library's memory. Internal to core/ops; include it in source files only.
#pragma once

#include <functional>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "core/ops/plan_cache.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops::onednn {

/// Everything a compiled primitive depends on. key_of() adds the number of threads.
using Key = PlanKey;
/// What is planned: the first number of a key.
enum PlanKind : std::int64_t {
  product_kind = 1,
  forward_kind,
  data_kind,
  transpose_kind,
  filter_kind,
  to_preferred_kind,
  from_preferred_kind,
  images_kind,
  outputs_kind,
  steps_kind,
  steps_back_kind,
  lay_out_kind,
  lay_out_back_kind
};
Key key_of(std::initializer_list<std::int64_t> parts);

/// A compiled primitive and the forms in which it wants the memory it was free to choose.
struct Plan {
  dnnl::primitive primitive;
  dnnl::memory::desc weights;  ///< Weights or their gradient.
  dnnl::memory::desc
      scratchpad;  ///< The calling thread's own, kept and shared by its calls; not in the step's account.
  dnnl::memory::desc x = {}, y = {};  ///< A convolution's images and outputs, or their gradients.
};

/// The plan of `key`, made by `make` when it is not in the cache. Thread-safe; the least recently used of many plans
/// go.
std::shared_ptr<const Plan> plan_for(const Key& key, const std::function<Plan()>& make);

const dnnl::engine& engine();
/// Attributes of every primitive here: scratchpads are the caller's.
dnnl::primitive_attr attributes();
/// Row-major f32 memory of these extents.
dnnl::memory::desc row_major(const dnnl::memory::dims& dims);
dnnl::memory view(const dnnl::memory::desc& desc, const Tensor& tensor);
dnnl::memory view(const dnnl::memory::desc& desc, void* data);

/// Copies memory of one form into another, or adds it there; `weights` of the plan is `to`.
Plan reorder_plan(const dnnl::memory::desc& from, const dnnl::memory::desc& to, Write mode);

using Arguments = std::unordered_map<int, dnnl::memory>;
/// Runs the primitive to its end; `name` is the span in a profile. Errors of the library become Error.
void run(const char* name, const Plan& plan, Arguments arguments);

/// f() with errors of the library as Error; `what` says what was being done.
template <class F>
decltype(auto) guarded(const char* what, F&& f) {
  try {
    return f();
  } catch (const dnnl::error& error) {
    fail(ExitCode::failure, "{}: oneDNN refused (status {}: {})", what, static_cast<int>(error.status), error.what());
  }
}

/// c = beta * c + op(a) op(b) of one f32 matrix each, row-major; a is (k, m) if transposed, b is (n, k) if transposed.
struct SgemmCall {
  char transpose_a, transpose_b;  ///< 'N' or 'T'.
  std::int64_t m, n, k;
  const float *a, *b;
  float beta;
  float* c;
};
void sgemm(const SgemmCall& call);

}  // namespace trireme::ops::onednn
