// See conv2d_cudnn.hpp; also how the algorithm for a convolution is found.
#ifdef TRIREME_HAS_CUDNN

#include "core/ops/conv2d_cudnn.hpp"

#include <limits>
#include <optional>

#include "core/base/log.hpp"
#include "core/base/profile.hpp"
#include "core/device/cuda.hpp"
#include "core/kernels/launch.hpp"
#include "core/ops/cudnn.hpp"
#include "core/ops/product_choices.hpp"

namespace trireme::ops::cudnn {
namespace {

using kernels::ConvExtents;

enum Kind : std::int64_t { forward_kind, data_kind, filter_kind };
constexpr const char* names[] = {"conv2d", "conv2d_data_gradient", "conv2d_filter_gradient"};

constexpr int most_candidates = 8;
constexpr std::size_t most_workspace = std::size_t{1} << 30;

struct Forms {
  TensorForm x, y;
  FilterForm filter;
  Convolution convolution;
};

struct Candidate {
  int algorithm;
  cudnnMathType_t math;
  std::size_t workspace;
};

struct Plan {
  Forms forms;
  std::optional<Candidate> chosen;  ///< Nothing where the library cannot.
};

/// One convolution of any kind; `in` and `out` are what the kind reads and writes in the order of its function.
struct Call {
  Context& context;
  Kind kind;
  const ConvExtents& e;
  const void *first, *second;
  Destination out;
};

std::optional<cudnnDataType_t> data_type(DType dtype) {
  if (dtype == DType::f32) return CUDNN_DATA_FLOAT;
  if (dtype == DType::bf16) return CUDNN_DATA_BFLOAT16;
  if (dtype == DType::f16) return CUDNN_DATA_HALF;
  return std::nullopt;
}

/// How sums of products may be computed: f32 in full without tensor cores, unless the context allows TF32.
cudnnMathType_t math_of(const Call& call) {
  if (call.out.tensor.dtype() != DType::f32) return CUDNN_TENSOR_OP_MATH;
  return call.context.product_math() == ProductMath::tf32 ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH;
}

int to_int(std::int64_t extent) {
  require(extent <= std::numeric_limits<int>::max(), "conv2d: an extent of {} is too large for cuDNN", extent);
  return static_cast<int>(extent);
}

TensorForm images(cudnnDataType_t type, const Shape& shape) {
  cudnnTensorDescriptor_t raw = nullptr;
  check(library().create_tensor(&raw), "a tensor");
  TensorForm form(raw);
  check(library().set_tensor(raw, CUDNN_TENSOR_NHWC, type, to_int(shape[0]), to_int(shape[3]), to_int(shape[1]),
                             to_int(shape[2])),
        "the extents of images");
  return form;
}

FilterForm filters(cudnnDataType_t type, const ConvExtents& e) {
  cudnnFilterDescriptor_t raw = nullptr;
  check(library().create_filter(&raw), "a filter");
  FilterForm form(raw);
  check(library().set_filter(raw, type, CUDNN_TENSOR_NHWC, to_int(e.outputs), to_int(e.group_channels()),
                             to_int(e.filter_height), to_int(e.filter_width)),
        "the extents of a filter");
  return form;
}

Forms forms_of(const Call& call) {
  const ConvExtents& e = call.e;
  const cudnnDataType_t type = *data_type(call.out.tensor.dtype());
  cudnnConvolutionDescriptor_t raw = nullptr;
  check(library().create_convolution(&raw), "a convolution");
  Convolution convolution(raw);
  check(
      library().set_convolution(raw, to_int(e.padding_h), to_int(e.padding_w), to_int(e.stride_h), to_int(e.stride_w),
                                to_int(e.dilation_h), to_int(e.dilation_w), CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
      "a convolution's strides");
  check(library().set_groups(raw, to_int(e.groups)), "a convolution's groups");
  check(library().set_math(raw, math_of(call)), "a convolution's arithmetic");
  return {.x = images(type, {e.batch, e.height, e.width, e.channels}),
          .y = images(type, {e.batch, e.out_height, e.out_width, e.outputs}),
          .filter = filters(type, e),
          .convolution = std::move(convolution)};
}

/// Those of the library's suggestions that give the same bits each time and fit into memory. `ask` has the library
/// write at most `most_candidates` of them, `room` the scratch memory of one.
template <class Suggestion, class Ask, class Room>
std::vector<Candidate> usable(const Call& call, const Forms& forms, const std::pair<Ask, Room>& functions) {
  const auto& [ask, room] = functions;
  Suggestion suggestions[most_candidates] = {};
  int count = 0;
  if (ask(&count, suggestions) != CUDNN_STATUS_SUCCESS) return {};
  std::vector<Candidate> out;
  for (int k = 0; k < count; ++k) {
    const Suggestion& one = suggestions[k];
    if (one.status != CUDNN_STATUS_SUCCESS || one.determinism != CUDNN_DETERMINISTIC) continue;
    const cudnnMathType_t allowed = math_of(call), math = allowed == CUDNN_FMA_MATH ? allowed : one.mathType;
    check(library().set_math(forms.convolution.get(), math), "a convolution's arithmetic");
    std::size_t bytes = 0;
    if (room(one.algo, &bytes) != CUDNN_STATUS_SUCCESS || bytes > most_workspace) continue;
    out.push_back({static_cast<int>(one.algo), math, bytes});
  }
  return out;
}

std::vector<Candidate> candidates(const Call& call, const Forms& f) {
  const cudnnHandle_t by = handle(call.context);
  const auto x = f.x.get(), y = f.y.get();
  const auto filter = f.filter.get();
  const auto how = f.convolution.get();
  const Library& ask = library();
  if (call.kind == forward_kind)
    return usable<cudnnConvolutionFwdAlgoPerf_t>(
        call, f,
        std::pair([&](int* count,
                      auto* out) { return ask.forward_algorithms(by, x, filter, how, y, most_candidates, count, out); },
                  [&](auto algorithm, std::size_t* bytes) {
                    return ask.forward_workspace(by, x, filter, how, y, algorithm, bytes);
                  }));
  if (call.kind == data_kind)
    return usable<cudnnConvolutionBwdDataAlgoPerf_t>(
        call, f,
        std::pair([&](int* count,
                      auto* out) { return ask.data_algorithms(by, filter, y, how, x, most_candidates, count, out); },
                  [&](auto algorithm, std::size_t* bytes) {
                    return ask.data_workspace(by, filter, y, how, x, algorithm, bytes);
                  }));
  return usable<cudnnConvolutionBwdFilterAlgoPerf_t>(
      call, f,
      std::pair([&](int* count,
                    auto* out) { return ask.filter_algorithms(by, x, y, how, filter, most_candidates, count, out); },
                [&](auto algorithm, std::size_t* bytes) {
                  return ask.filter_workspace(by, x, y, how, filter, algorithm, bytes);
                }));
}

/// Queues it; returns what the library said. The convolution's arithmetic must be the candidate's.
cudnnStatus_t run(const Call& call, const Forms& f, const Candidate& how) {
  const cudnnHandle_t by = handle(call.context);
  Tensor workspace;
  if (how.workspace > 0) workspace = call.context.empty({static_cast<std::int64_t>(how.workspace)}, DType::u8);
  const float one = 1, beta = call.out.beta();
  void *const room = workspace.raw(), *const out = call.out.tensor.raw();
  const auto convolution = f.convolution.get();
  switch (call.kind) {
    case forward_kind:
      return library().forward(by, &one, f.x.get(), call.first, f.filter.get(), call.second, convolution,
                               static_cast<cudnnConvolutionFwdAlgo_t>(how.algorithm), room, how.workspace, &beta,
                               f.y.get(), out);
    case data_kind:
      return library().data_gradient(by, &one, f.filter.get(), call.first, f.y.get(), call.second, convolution,
                                     static_cast<cudnnConvolutionBwdDataAlgo_t>(how.algorithm), room, how.workspace,
                                     &beta, f.x.get(), out);
    case filter_kind:
      break;
  }
  return library().filter_gradient(by, &one, f.x.get(), call.first, f.y.get(), call.second, convolution,
                                   static_cast<cudnnConvolutionBwdFilterAlgo_t>(how.algorithm), room, how.workspace,
                                   &beta, f.filter.get(), out);
}

/// The number of the fastest candidate, timed on an output of its own.
std::size_t fastest(const Call& call, const Forms& forms, const std::vector<Candidate>& all) {
  const Tensor& out = call.out.tensor;
  const Call trial{call.context, call.kind,   call.e,
                   call.first,   call.second, {call.context.empty(out.shape(), out.dtype()), call.out.mode}};
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t k = 0; k < all.size(); ++k) {
    check(library().set_math(forms.convolution.get(), all[k].math), "a convolution's arithmetic");
    if (run(trial, forms, all[k]) != CUDNN_STATUS_SUCCESS) continue;  // also loads its code
    const double time = cuda::time_work(call.context.stream().native(), [&] {
      for (int times = 0; times < 3; ++times) run(trial, forms, all[k]);
    });
    if (time < least) best = k, least = time;
  }
  return best;
}

std::size_t number_of(const Call& call, const Forms& forms, const std::vector<Candidate>& all) {
  if (product_search() == ProductSearch::expected || all.size() == 1 || cuda::capturing(call.context.stream().native()))
    return 0;
  try {
    return fastest(call, forms, all);
  } catch (const Error&) {
    return 0;  // no memory for a second output: the convolution itself will say what else is wrong
  }
}

PlanKey key_of(const Call& call) {
  const ConvExtents& e = call.e;
  return {static_cast<std::int64_t>(call.context.device().index),
          call.kind,
          e.batch,
          e.height,
          e.width,
          e.channels,
          e.out_height,
          e.out_width,
          e.outputs,
          e.filter_height,
          e.filter_width,
          e.stride_h,
          e.stride_w,
          e.padding_h,
          e.padding_w,
          e.groups,
          e.dilation_h,
          e.dilation_w,
          static_cast<std::int64_t>(call.out.tensor.dtype()),
          static_cast<std::int64_t>(math_of(call)),
          static_cast<std::int64_t>(call.out.mode)};
}

std::shared_ptr<Plan> choose(const Call& call, PlanKey kind) {
  const auto plan = std::make_shared<Plan>(Plan{forms_of(call), std::nullopt});
  const std::vector<Candidate> all = candidates(call, plan->forms);
  if (all.empty()) {
    const ConvExtents& e = call.e;
    log::warning(
        "cuDNN has no repeatable algorithm for {} of images ({}, {}, {}, {}) by filters ({}, {}, {}, {}) in {} "
        "groups of {}: it is computed by the plain text, which is slow",
        names[call.kind], e.batch, e.height, e.width, e.channels, e.outputs, e.filter_height, e.filter_width,
        e.group_channels(), e.groups, name_of(call.out.tensor.dtype()));
    return plan;
  }
  const std::string where =
      fmt::format("cuDNN {}, {}", library().version(), cuda::device_kind(call.context.device().index));
  kind[0] = 0;  // the number of the GPU does not matter
  const auto kept = product_choice(where, kind);
  const std::size_t number = kept && *kept < all.size() ? *kept : number_of(call, plan->forms, all);
  set_product_choice(where, kind, number);
  check(library().set_math(plan->forms.convolution.get(), all[number].math), "a convolution's arithmetic");
  plan->chosen = all[number];
  return plan;
}

bool convolve(const Call& call) {
  if (!data_type(call.out.tensor.dtype())) return false;
  const ProfileSpan span(names[call.kind], ProfileSpan::Kind::library);
  // Never destroyed: the library may be gone before static objects are.
  static auto& plans = *new PlanCache<Plan>;
  const PlanKey key = key_of(call);
  const auto plan = plans.find_or_make(key, [&] { return choose(call, key); });
  if (!plan->chosen) return false;
  check(run(call, plan->forms, *plan->chosen), names[call.kind]);
  return true;
}

}  // namespace

bool conv_forward(Context& context, const ConvForwardCall& call) {
  const ConvExtents& e = call.extents;
  const void* const filter = call.filter.tensor().raw();
  if (!convolve({context, forward_kind, e, call.x.raw(), filter, {call.y, Write::overwrite}})) return false;
  if (!call.bias && call.finish == Product::Finish::none) return true;
  with_floating(call.y.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    launch_rows(context.stream(), {e.batch * e.out_height * e.out_width, e.outputs},
                kernels::ProductFinish<T>{.y = call.y.data<T>(),
                                          .bias = call.bias ? call.bias.data<T>() : nullptr,
                                          .before = nullptr,
                                          .features = e.outputs,
                                          .finish = call.finish});
  });
  return true;
}

bool conv_data_gradient(Context& context, const ConvDataGradientCall& call) {
  return convolve({context, data_kind, call.extents, call.filter.tensor().raw(), call.dy.raw(), call.dx});
}

bool conv_filter_gradient(Context& context, const ConvFilterGradientCall& call) {
  if (call.dfilter.tensor.dtype() != call.x.dtype()) return false;  // the library knows one type for all
  return convolve({context, filter_kind, call.extents, call.x.raw(), call.dy.raw(), call.dfilter});
}

}  // namespace trireme::ops::cudnn

#endif
