// See gemm_cublaslt.hpp; also how the algorithm for a kind of product is found.
#ifdef TRIREME_HAS_CUDA

#include "core/ops/gemm_cublaslt.hpp"

#include <limits>

#include "core/base/profile.hpp"
#include "core/device/cuda.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/cublaslt.hpp"
#include "core/ops/product_choices.hpp"

namespace trireme::ops::cublaslt {
namespace {

using Finish = Product::Finish;

constexpr int most_candidates = 8;
/// NVIDIA's advice for Hopper; smaller GPUs use less of it.
constexpr std::uint64_t most_workspace = std::uint64_t{32} << 20;
constexpr std::uintptr_t best_alignment = 256;

struct Call {
  Context& context;
  const Product& p;
  const Destination& to;
};

/// Whether bias, activation and sums are the product's own epilogue or passes after it.
enum class Extras : std::uint8_t { fused, apart };

struct Candidate {
  cublasLtMatmulAlgo_t algorithm;
  std::size_t workspace;
  Extras extras;
};

/// What the library is asked for; the pointers of bias and the like are attributes of the operation.
struct Request {
  Operation operation;
  Layout left, right, out;
};

struct Plan {
  Request request;
  Candidate chosen;
  std::mutex guard;  ///< Of the operation's pointers.
};

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::f64:
      return CUDA_R_64F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    default:
      fail(ExitCode::failure, "a product of {} on a GPU is not supported; use f32, f64, bf16 or f16", name_of(dtype));
  }
}

cublasComputeType_t compute_type(const Call& call) {
  const DType dtype = call.p.a.dtype();
  if (dtype == DType::f64) return CUBLAS_COMPUTE_64F;
  const bool rounded = dtype == DType::f32 && call.context.product_math() == ProductMath::tf32;
  return rounded ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

/// The largest power of two, up to best_alignment, that divides the address and the distance of its matrices.
std::uint32_t alignment_of(const Tensor& tensor, std::int64_t batches) {
  if (!tensor) return 0;
  const auto stride = batches > 1 ? tensor.bytes() / static_cast<std::size_t>(batches) : 0;
  const std::uintptr_t bits = reinterpret_cast<std::uintptr_t>(tensor.raw()) | stride | best_alignment;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

bool has_sums(const Product& p) { return p.sums_of_a.tensor || p.sums_of_b.tensor; }
bool has_extras(const Product& p) { return p.bias || p.finish != Finish::none || has_sums(p); }

bool can_fuse(const Product& p, const Destination& to) {
  const DType type = to.tensor.dtype();
  if (type == DType::f64 || p.batches > 1 || (has_sums(p) && (p.bias || p.finish != Finish::none))) return false;
  if (p.sums_of_a.tensor && p.sums_of_b.tensor) return false;
  for (const Destination* sums : {&p.sums_of_a, &p.sums_of_b})
    if (sums->tensor && (sums->mode == Write::accumulate || sums->tensor.dtype() != type)) return false;
  if (p.bias && p.bias.dtype() != type) return false;
  // the library wants rows of a multiple of 8 elements for what it keeps of a GELU
  return !p.before || (p.n % 8 == 0 && p.before.dtype() == type && alignment_of(p.before, 1) >= 16);
}

std::uint32_t epilogue_of(const Product& p) {
  if (p.sums_of_a.tensor) return CUBLASLT_EPILOGUE_BGRADB;
  if (p.sums_of_b.tensor) return CUBLASLT_EPILOGUE_BGRADA;
  std::uint32_t out = 0;
  if (p.bias) out |= CUBLASLT_EPILOGUE_BIAS;
  if (p.finish == Finish::relu) out |= CUBLASLT_EPILOGUE_RELU;
  if (p.finish == Finish::gelu_tanh_fit) out |= p.before ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU;
  if (out == 0) out = CUBLASLT_EPILOGUE_DEFAULT;
  return out;
}

/// Stored (rows, columns) matrices, which the library sees as (columns, rows).
Layout layout_of(DType dtype, const MatrixExtents& stored) {
  cublasLtMatrixLayout_t raw = nullptr;
  check(library().create_layout(&raw, data_type(dtype), static_cast<std::uint64_t>(stored.columns),
                                static_cast<std::uint64_t>(stored.rows), stored.columns),
        "a matrix");
  Layout layout(raw);
  if (stored.batches > 1) {
    set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(stored.batches));
    set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stored.rows * stored.columns);
  }
  return layout;
}

void set_pointers(const Operation& operation, const Product& p) {
  const Tensor& sums = p.sums_of_a.tensor ? p.sums_of_a.tensor : p.sums_of_b.tensor;
  if (p.bias || sums) set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias ? p.bias.raw() : sums.raw());
  if (!p.before) return;
  set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.before.raw());
  set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.n);
}

Request request_of(const Call& call, Extras extras) {
  const Product& p = call.p;
  const bool turned_a = p.transpose_a == Transpose::yes, turned_b = p.transpose_b == Transpose::yes;
  cublasLtMatmulDesc_t raw = nullptr;
  const cudaDataType_t scale = p.a.dtype() == DType::f64 ? CUDA_R_64F : CUDA_R_32F;
  check(library().create_operation(&raw, compute_type(call), scale), "an operation");
  Request request{.operation = Operation(raw),
                  .left = layout_of(p.b.dtype(), {p.batches, turned_b ? p.n : p.k, turned_b ? p.k : p.n}),
                  .right = layout_of(p.a.dtype(), {p.batches, turned_a ? p.k : p.m, turned_a ? p.m : p.k}),
                  .out = layout_of(call.to.tensor.dtype(), {p.batches, p.m, p.n})};
  set(request.operation, CUBLASLT_MATMUL_DESC_TRANSA, turned_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(request.operation, CUBLASLT_MATMUL_DESC_TRANSB, turned_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (extras == Extras::fused) {
    set(request.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p));
    set_pointers(request.operation, p);
  }
  return request;
}

Preference preference_of(const Call& call) {
  const Product& p = call.p;
  cublasLtMatmulPreference_t raw = nullptr;
  check(library().create_preference(&raw), "a search");
  Preference preference(raw);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, most_workspace);
  // parts of a sum are never rounded to 16 bits in between
  const std::uint32_t reductions = size_of(call.to.tensor.dtype()) == 2
                                       ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                                       : CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.b, p.batches));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.a, p.batches));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(call.to.tensor, p.batches));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(call.to.tensor, p.batches));
  return preference;
}

/// What the library expects to be fast, best first; nothing where it cannot do it this way.
std::vector<Candidate> candidates(const Call& call, Extras extras) {
  const Request request = request_of(call, extras);
  const Preference preference = preference_of(call);
  cublasLtMatmulHeuristicResult_t results[most_candidates] = {};
  int count = 0;
  const cublasStatus_t status = library().heuristic(
      handle(call.context.device().index), request.operation.get(), request.left.get(), request.right.get(),
      request.out.get(), request.out.get(), preference.get(), most_candidates, results, &count);
  if (status != CUBLAS_STATUS_SUCCESS) {
    if (extras == Extras::apart && status != CUBLAS_STATUS_NOT_SUPPORTED) check(status, "a search for an algorithm");
    return {};
  }
  std::vector<Candidate> out;
  for (int k = 0; k < count; ++k)
    if (results[k].state == CUBLAS_STATUS_SUCCESS) out.push_back({results[k].algo, results[k].workspaceSize, extras});
  return out;
}

/// The order says which is taken without timing. Sums in the epilogue come last: they may cost the product more than
/// a pass of their own, which only a measurement shows.
std::vector<Candidate> all_candidates(const Call& call) {
  std::vector<Candidate> out = candidates(call, Extras::apart);
  if (!has_extras(call.p) || !can_fuse(call.p, call.to)) return out;
  const std::vector<Candidate> fused = candidates(call, Extras::fused);
  out.insert(has_sums(call.p) ? out.end() : out.begin(), fused.begin(), fused.end());
  return out;
}

std::shared_ptr<Plan> make_plan(const Call& call, const Candidate& candidate) {
  const auto plan = std::make_shared<Plan>();
  plan->request = request_of(call, candidate.extras);
  plan->chosen = candidate;
  return plan;
}

void extras_apart(const Call& call) {
  const Product& p = call.p;
  if (p.bias || p.finish != Finish::none)
    with_floating(call.to.tensor.dtype(), "product", [&](auto zero) {
      using T = decltype(zero);
      launch_rows(call.context.stream(), {p.batches * p.m, p.n},
                  kernels::ProductFinish<T>{.y = call.to.tensor.data<T>(),
                                            .bias = p.bias ? p.bias.data<T>() : nullptr,
                                            .before = p.before ? p.before.data<T>() : nullptr,
                                            .features = p.n,
                                            .finish = p.finish});
    });
  if (has_sums(p)) product_sums(call.context, p);
}

/// Queues the whole product; returns what the library said.
cublasStatus_t run(const Call& call, Plan& plan) {
  const Product& p = call.p;
  Context& context = call.context;
  Tensor workspace;
  const std::size_t bytes = plan.chosen.workspace;
  if (bytes > 0) workspace = context.empty({static_cast<std::int64_t>(bytes)}, DType::u8);
  const double one = 1, beta = call.to.beta();
  const float one_f32 = 1, beta_f32 = call.to.beta();
  const bool wide = p.a.dtype() == DType::f64;
  const Request& request = plan.request;
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  {
    const std::lock_guard lock(plan.guard);
    if (plan.chosen.extras == Extras::fused) set_pointers(request.operation, p);
    void* const out = call.to.tensor.raw();
    status = library().matmul(handle(context.device().index), request.operation.get(),
                              wide ? static_cast<const void*>(&one) : &one_f32, p.b.raw(), request.left.get(),
                              p.a.raw(), request.right.get(), wide ? static_cast<const void*>(&beta) : &beta_f32, out,
                              request.out.get(), out, request.out.get(), &plan.chosen.algorithm, workspace.raw(), bytes,
                              static_cast<cudaStream_t>(context.stream().native()));
  }
  if (status == CUBLAS_STATUS_SUCCESS && plan.chosen.extras == Extras::apart) extras_apart(call);
  return status;
}

/// The number of the fastest candidate, timed on outputs of its own, so that nothing that counts is written.
std::size_t fastest(const Call& call, const std::vector<Candidate>& all) {
  Context& context = call.context;
  const auto like = [&](const Tensor& t) { return t ? context.empty(t.shape(), t.dtype()) : Tensor(); };
  Product p = call.p;
  p.before = like(p.before);
  for (Destination* sums : {&p.sums_of_a, &p.sums_of_b}) sums->tensor = like(sums->tensor);
  const Destination to{like(call.to.tensor), call.to.mode};
  const Call trial{context, p, to};
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t k = 0; k < all.size(); ++k) {
    const auto plan = make_plan(trial, all[k]);
    if (run(trial, *plan) != CUBLAS_STATUS_SUCCESS) continue;  // also loads its code
    const double time = cuda::time_work(context.stream().native(), [&] {
      for (int times = 0; times < 5; ++times) run(trial, *plan);
    });
    if (time < least) best = k, least = time;
  }
  return best;
}

std::size_t number_of(const Call& call, const std::vector<Candidate>& all) {
  if (product_search() == ProductSearch::expected || all.size() == 1 || cuda::capturing(call.context.stream().native()))
    return 0;
  try {
    return fastest(call, all);
  } catch (const Error&) {
    return 0;  // no memory for a second output: the product itself will say what else is wrong
  }
}

PlanKey key_of(const Call& call) {
  const auto& [context, p, to] = call;
  const auto number = [](auto value) { return static_cast<std::int64_t>(value); };
  const Tensor& sums = p.sums_of_a.tensor ? p.sums_of_a.tensor : p.sums_of_b.tensor;
  return {number(context.device().index),
          p.m,
          p.n,
          p.k,
          p.batches,
          number(p.transpose_a),
          number(p.transpose_b),
          number(p.a.dtype()),
          number(to.tensor.dtype()),
          number(compute_type(call)),
          number(to.mode),
          number(p.finish),
          number(p.bias ? 1 : 0) + (p.before ? 2 : 0) + (p.sums_of_a.tensor ? 4 : 0) + (p.sums_of_b.tensor ? 8 : 0),
          number(can_fuse(p, to)),
          number(alignment_of(p.a, p.batches)),
          number(alignment_of(p.b, p.batches)),
          number(alignment_of(to.tensor, p.batches)),
          number(alignment_of(p.bias, 1)),
          number(alignment_of(p.before, 1)),
          number(alignment_of(sums, 1))};
}

std::shared_ptr<Plan> choose(const Call& call, PlanKey kind) {
  const std::vector<Candidate> all = all_candidates(call);
  const Product& p = call.p;
  require(!all.empty(), "cuBLASLt has no algorithm for a product of ({}, {}) and ({}, {}) of {}, {} at once, on {}",
          p.m, p.k, p.k, p.n, name_of(p.a.dtype()), p.batches, call.context.device().name());
  const std::string where =
      fmt::format("cuBLASLt {}, {}", library().version(), cuda::device_kind(call.context.device().index));
  kind[0] = 0;  // the number of the GPU does not matter
  const auto kept = product_choice(where, kind);
  const std::size_t number = kept && *kept < all.size() ? *kept : number_of(call, all);
  set_product_choice(where, kind, number);
  return make_plan(call, all[number]);
}

}  // namespace

void product_into(Context& context, const Product& product, const Destination& to) {
  require(product.batches <= std::numeric_limits<std::int32_t>::max(), "a product of {} matrices at once: too many",
          product.batches);
  const ProfileSpan span("product", ProfileSpan::Kind::library);
  // Never destroyed: the library may be gone before static objects are.
  static auto& plans = *new PlanCache<Plan>;
  const Call call{context, product, to};
  const PlanKey key = key_of(call);
  const auto plan = plans.find_or_make(key, [&] { return choose(call, key); });
  check(run(call, *plan), "a product");
}

}  // namespace trireme::ops::cublaslt

#endif
