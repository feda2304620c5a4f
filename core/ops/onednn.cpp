#include "core/ops/onednn.hpp"

#include <algorithm>

#include "core/base/profile.hpp"
#include "core/kernels/parallel.hpp"

namespace trireme::ops::onednn {
namespace {

dnnl::stream& stream() {
  thread_local dnnl::stream of_thread(engine());
  return of_thread;
}

/// Memory of the calling thread, kept and as large as the largest that was asked for. Calls run to their end one after
/// the other, so all can share it; from the step's memory every size would be a block of its own.
void* scratch_of(std::size_t bytes) {
  thread_local std::shared_ptr<Buffer> kept;
  if (!kept || kept->bytes() < bytes) {
    kept.reset();
    kept = system_allocator(Device::cpu()).allocate(bytes);
  }
  return kept->data();
}

}  // namespace

Key key_of(std::initializer_list<std::int64_t> parts) {
  Key key{};
  require(parts.size() < key.size(), "a key of {} parts is too long for the cache of primitives", parts.size());
  std::copy(parts.begin(), parts.end(), key.begin());
  key.back() = parallel_threads();
  return key;
}

std::shared_ptr<const Plan> plan_for(const Key& key, const std::function<Plan()>& make) {
  static PlanCache<const Plan> cache;  // compiled code belongs to the processor, so one cache serves the process
  return cache.find_or_make(key, [&] { return std::make_shared<const Plan>(make()); });
}

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr out;
  out.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return out;
}

dnnl::memory::desc row_major(const dnnl::memory::dims& dims) {
  dnnl::memory::dims strides(dims.size(), 1);
  for (std::size_t k = dims.size() - 1; k > 0; --k) strides[k - 1] = strides[k] * dims[k];
  return {dims, dnnl::memory::data_type::f32, strides};
}

dnnl::memory view(const dnnl::memory::desc& desc, void* data) { return {desc, engine(), data}; }

dnnl::memory view(const dnnl::memory::desc& desc, const Tensor& tensor) { return view(desc, tensor.raw()); }

Plan reorder_plan(const dnnl::memory::desc& from, const dnnl::memory::desc& to, Write mode) {
  dnnl::primitive_attr attributes_of_call = attributes();
  if (mode == Write::accumulate) {
    dnnl::post_ops after;
    after.append_sum(1.0f);
    attributes_of_call.set_post_ops(after);
  }
  const dnnl::reorder::primitive_desc made(engine(), from, engine(), to, attributes_of_call);
  return {dnnl::reorder(made), to, made.scratchpad_desc()};
}

void run(const char* name, const Plan& plan, Arguments arguments) {
  const ProfileSpan span(name, ProfileSpan::Kind::library);
  guarded(name, [&] {
    if (const std::size_t bytes = plan.scratchpad.get_size(); bytes > 0)
      arguments.insert({DNNL_ARG_SCRATCHPAD, view(plan.scratchpad, scratch_of(bytes))});
    plan.primitive.execute(stream(), arguments);
    stream().wait();
  });
}

void sgemm(const SgemmCall& call) {
  const ProfileSpan span("sgemm", ProfileSpan::Kind::library);
  const auto [ta, tb, m, n, k, a, b, beta, c] = call;
  const std::int64_t a_row = ta == 'T' ? m : k, b_row = tb == 'T' ? k : n;
  const dnnl_status_t status = dnnl_sgemm(ta, tb, m, n, k, 1.0f, a, a_row, b, b_row, beta, c, n);
  require(status == dnnl_success, "sgemm: oneDNN refused a product of ({}, {}) and ({}, {}), status {}", m, k, k, n,
          static_cast<int>(status));
}

}  // namespace trireme::ops::onednn
