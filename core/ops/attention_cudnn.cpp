// See attention_cudnn.hpp; the graphs that cuDNN's frontend is given.
#ifdef TRIREME_HAS_CUDNN_FRONTEND

#include "core/ops/attention_cudnn.hpp"

#include <cudnn_frontend.h>

#include <bit>
#include <cmath>

#include "core/base/log.hpp"
#include "core/base/profile.hpp"
#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/cudnn.hpp"
#include "core/ops/plan_cache.hpp"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // its functions are looked up here; set before the first of them is called
}

namespace trireme::ops::cudnn {
namespace {

namespace fe = cudnn_frontend;
using Form = std::shared_ptr<fe::graph::Tensor_attributes>;

/// Names of the tensors of a graph.
enum Name : std::int64_t { q = 1, k, v, y_name, log_sum_name, dy_name, dq, dk, dv };

enum class Kind : std::int64_t { forward, gradient };

struct Plan {
  fe::graph::Graph graph;
  std::int64_t workspace = 0;
};

struct Extents {
  std::int64_t batch, time, heads, kv_heads, size;

  explicit Extents(const AttentionCall& call)
      : batch(call.qkv.shape()[0]),
        time(call.qkv.shape()[1]),
        heads(call.options.heads),
        kv_heads(call.options.kv_heads),
        size(call.options.head_size) {}
  std::int64_t width() const { return (heads + 2 * kv_heads) * size; }
};

void check(fe::error_t status, const char* what) {
  require(status.is_good(), "cuDNN refused {}: {}; CUDNN_LOGLEVEL_DBG=2 shows its own words", what,
          status.get_message());
}

float scale_of(const AttentionOptions& options) {
  return static_cast<float>(options.scale > 0 ? options.scale : 1 / std::sqrt(static_cast<double>(options.head_size)));
}

fe::graph::Tensor_attributes named(Name name) { return fe::graph::Tensor_attributes().set_uid(name); }

/// Sets extents and steps of `heads` heads that lie side by side in tokens of `width` elements.
template <class T>
T& in_tokens(T& form, const Extents& e, std::pair<std::int64_t, std::int64_t> heads_and_width) {
  const auto [heads, width] = heads_and_width;
  form.set_dim({e.batch, heads, e.time, e.size}).set_stride({e.time * width, e.size, width, 1});
  return form;
}

Form input(fe::graph::Graph& graph, Name name, const Extents& e,
           std::pair<std::int64_t, std::int64_t> heads_and_width) {
  fe::graph::Tensor_attributes form = named(name);
  return graph.tensor(in_tokens(form, e, heads_and_width));
}

template <class Attributes>
Attributes options_of(const AttentionCall& call) {
  Attributes out;
  out.set_name("attention").set_attn_scale(scale_of(call.options));
  if (call.options.mask == AttentionOptions::Mask::none) return out;
  out.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT).set_diagonal_band_right_bound(0);
  // the band holds a token itself and those before it; one as long as the row hides nothing
  if (call.options.window > 0 && call.options.window < call.qkv.shape()[1])
    out.set_diagonal_band_left_bound(static_cast<int>(call.options.window));
  return out;
}

void start(fe::graph::Graph& graph, DType dtype) {
  graph.set_io_data_type(dtype == DType::bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::HALF)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
}

std::vector<std::int64_t> stats_extents(const Extents& e) { return {e.batch, e.heads, e.time, 1}; }
std::vector<std::int64_t> stats_steps(const Extents& e) { return {e.heads * e.time, e.time, 1, 1}; }

void describe_forward(fe::graph::Graph& graph, const AttentionCall& call) {
  const Extents e(call);
  auto options = options_of<fe::graph::SDPA_attributes>(call);
  options.set_generate_stats(true);
  const auto [y, stats] =
      graph.sdpa(input(graph, q, e, {e.heads, e.width()}), input(graph, k, e, {e.kv_heads, e.width()}),
                 input(graph, v, e, {e.kv_heads, e.width()}), options);
  in_tokens(*y, e, {e.heads, e.heads * e.size}).set_output(true).set_uid(y_name);
  stats->set_output(true).set_data_type(fe::DataType_t::FLOAT).set_uid(log_sum_name);
  stats->set_dim(stats_extents(e)).set_stride(stats_steps(e));
}

/// Whether the gradient must have the same bits each time.
enum class Bits : std::uint8_t { same, any };

void describe_gradient(fe::graph::Graph& graph, const AttentionCall& call, Bits bits) {
  const Extents e(call);
  const std::pair<std::int64_t, std::int64_t> rows{e.heads, e.heads * e.size};
  auto options = options_of<fe::graph::SDPA_backward_attributes>(call);
  options.set_deterministic_algorithm(bits == Bits::same);
  auto stats_form = named(log_sum_name);
  stats_form.set_dim(stats_extents(e)).set_stride(stats_steps(e)).set_data_type(fe::DataType_t::FLOAT);
  const auto [to_q, to_k, to_v] =
      graph.sdpa_backward(input(graph, q, e, {e.heads, e.width()}), input(graph, k, e, {e.kv_heads, e.width()}),
                          input(graph, v, e, {e.kv_heads, e.width()}), input(graph, y_name, e, rows),
                          input(graph, dy_name, e, rows), graph.tensor(stats_form), options);
  in_tokens(*to_q, e, {e.heads, e.width()}).set_output(true).set_uid(dq);
  in_tokens(*to_k, e, {e.kv_heads, e.width()}).set_output(true).set_uid(dk);
  in_tokens(*to_v, e, {e.kv_heads, e.width()}).set_output(true).set_uid(dv);
}

fe::error_t build(Plan& plan, cudnnHandle_t by) {
  const fe::error_t status = plan.graph.build(by, {fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK});
  if (status.is_good()) plan.workspace = plan.graph.get_workspace_size();
  return status;
}

std::shared_ptr<Plan> make_plan(Context& context, const AttentionCall& call, Kind kind) {
  const cudnnHandle_t by = handle(context);
  auto plan = std::make_shared<Plan>();
  start(plan->graph, call.qkv.dtype());
  if (kind == Kind::forward) {
    describe_forward(plan->graph, call);
    check(build(*plan, by), "attention");
    return plan;
  }
  describe_gradient(plan->graph, call, Bits::same);
  if (const fe::error_t status = build(*plan, by); status.is_good()) return plan;
  log::warning("cuDNN has no repeatable gradient of attention for {}: two runs will differ in rounding",
               call.qkv.shape());
  plan = std::make_shared<Plan>();
  start(plan->graph, call.qkv.dtype());
  describe_gradient(plan->graph, call, Bits::any);
  check(build(*plan, by), "the gradient of attention");
  return plan;
}

std::shared_ptr<Plan> plan_for(Context& context, const AttentionCall& call, Kind kind) {
  // Never destroyed: the library may be gone before static objects are.
  static auto& plans = *new PlanCache<Plan>;
  const Extents e(call);
  const PlanKey key{context.device().index,
                    static_cast<std::int64_t>(kind),
                    static_cast<std::int64_t>(call.qkv.dtype()),
                    e.batch,
                    e.time,
                    e.heads,
                    e.kv_heads,
                    e.size,
                    call.options.window,
                    static_cast<std::int64_t>(call.options.mask),
                    std::bit_cast<std::int32_t>(scale_of(call.options))};
  return plans.find_or_make(key, [&] { return make_plan(context, call, kind); });
}

using Addresses = std::unordered_map<std::int64_t, void*>;

/// Queries, keys and values of packed memory under three names in a row.
void add_packed(Addresses& to, const Tensor& packed, const Extents& e, Name first) {
  std::byte* const at = static_cast<std::byte*>(packed.raw());
  const auto bytes = static_cast<std::int64_t>(size_of(packed.dtype())) * e.size;
  to[first] = at;
  to[first + 1] = at + e.heads * bytes;
  to[first + 2] = at + (e.heads + e.kv_heads) * bytes;
}

void run(Context& context, const Plan& plan, Addresses& addresses) {
  Tensor workspace;
  if (plan.workspace > 0) workspace = context.empty({plan.workspace}, DType::u8);
  check(plan.graph.execute(handle(context), addresses, workspace.raw()), "attention");
}

}  // namespace

bool attends(const Context& context, const AttentionCall& call) {
  const DType dtype = call.qkv.dtype();
  const AttentionOptions& o = call.options;
  if (!context.device().is_cuda() || (dtype != DType::bf16 && dtype != DType::f16)) return false;
  if (o.document_start || o.head_size % 8 != 0 || o.head_size > 128 || call.qkv.elements() == 0) return false;
  return reinterpret_cast<std::uintptr_t>(call.qkv.raw()) % 16 == 0;
}

void attention(Context& context, const AttentionCall& call, const Tensor& y, const Tensor& log_sum) {
  const ProfileSpan span("attention", ProfileSpan::Kind::library);
  fe::cudnn_dlhandle = library().loaded;
  const auto plan = plan_for(context, call, Kind::forward);
  Addresses addresses{{y_name, y.raw()}, {log_sum_name, log_sum.raw()}};
  add_packed(addresses, call.qkv, Extents(call), q);
  run(context, *plan, addresses);
}

void attention_gradient(Context& context, const AttentionGradientCall& call) {
  const ProfileSpan span("attention_gradient", ProfileSpan::Kind::library);
  const auto plan = plan_for(context, call.forward, Kind::gradient);
  const Tensor& to = call.dqkv.tensor;
  const bool adds = call.dqkv.mode == Write::accumulate;
  const Tensor out = adds ? context.empty(to.shape(), to.dtype()) : to;
  Addresses addresses{{y_name, call.y.raw()}, {log_sum_name, call.log_sum.raw()}, {dy_name, call.dy.raw()}};
  add_packed(addresses, call.forward.qkv, Extents(call.forward), q);
  add_packed(addresses, out, Extents(call.forward), dq);
  run(context, *plan, addresses);
  if (!adds) return;
  with_floating(to.dtype(), "gradient sum", [&](auto zero) {
    using T = decltype(zero);
    launch_elements(context.stream(), to.elements(), kernels::AddScaled<T>{out.data<T>(), to.data<T>(), 1, 1});
  });
}

}  // namespace trireme::ops::cudnn

#endif
