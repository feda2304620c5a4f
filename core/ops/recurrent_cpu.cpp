#include "core/ops/recurrent_cpu.hpp"

#include <algorithm>
#include <atomic>
#include <exception>

#include "core/base/profile.hpp"
#include "core/kernels/parallel.hpp"
#include "core/ops/onednn.hpp"

namespace trireme::ops::recurrent_cpu {
namespace {

using dnnl::memory;

/// A thread's columns [first, first + width) of the state for samples [row, row + rows), and the product that makes
/// what they need.
struct Share {
  std::int64_t first, width, row, rows;
  std::shared_ptr<const onednn::Plan> plan = {};
  Tensor weight = {};               ///< In the form the plan wants.
  memory::desc from = {}, to = {};  ///< Of the product's left operand and result.
};

/// At most one share for each thread, none too small to be worth the waiting: as many parts of the columns, whole
/// vectors, as there can be, then parts of the samples.
std::vector<Share> shares_of(const RecurrentPass& pass) {
  constexpr std::int64_t vector = 16, least_rows = 8, least_products = 1 << 18;
  const std::int64_t vectors = (pass.hidden + vector - 1) / vector;
  const std::int64_t worth = pass.batch * pass.gates * pass.hidden * pass.hidden / least_products;
  const std::int64_t most = std::clamp<std::int64_t>(worth, 1, parallel_threads());
  const std::int64_t columns = std::min(vectors, most);
  const std::int64_t samples = std::clamp<std::int64_t>(pass.batch / least_rows, 1, most / columns);
  std::vector<Share> out;
  for (std::int64_t part = 0; part < samples; ++part) {
    const std::int64_t row = pass.batch * part / samples, end_row = pass.batch * (part + 1) / samples;
    for (std::int64_t k = 0; k < columns; ++k) {
      const std::int64_t first = vectors * k / columns * vector, end = vectors * (k + 1) / columns * vector;
      out.push_back({.first = first, .width = std::min(end, pass.hidden) - first, .row = row, .rows = end_row - row});
    }
  }
  return out;
}

struct ProductSizes {
  onednn::PlanKind kind;
  std::int64_t k, n;
};

void plan_product(Share& share, const ProductSizes& of) {
  const OneThread guard;  // plans are made for as many threads as will run them
  share.plan = onednn::plan_for(onednn::key_of({of.kind, share.from.dims()[0], of.k, of.n}), [&]() -> onednn::Plan {
    const memory::desc free({of.k, of.n}, memory::data_type::f32, memory::format_tag::any);
    const dnnl::matmul::primitive_desc made({share.from, free, share.to}, onednn::attributes(), onednn::engine());
    return {.primitive = dnnl::matmul(made), .weights = made.weights_desc(), .scratchpad = made.scratchpad_desc()};
  });
}

/// The share's weight from memory of this form.
void lay_out(Context& context, Share& share, const memory::desc& form, std::pair<onednn::PlanKind, float*> kind_from) {
  const auto [kind, from] = kind_from;
  const memory::dims dims = form.dims();
  const auto reorder = onednn::plan_for(
      onednn::key_of({kind, share.from.dims()[0], dims[0], dims[1], form.data.format_desc.blocking.strides[0]}),
      [&, form = form] { return onednn::reorder_plan(form, share.plan->weights, Write::overwrite); });
  share.weight = context.empty({static_cast<std::int64_t>(share.plan->weights.get_size() / sizeof(float))}, DType::f32);
  onednn::run(
      "reorder", *reorder,
      {{DNNL_ARG_FROM, onednn::view(form, from)}, {DNNL_ARG_TO, onednn::view(share.plan->weights, share.weight)}});
}

/// (B, H) by the weight's rows of the share, gate after gate: (B, gates width).
std::vector<Share> forward_shares(Context& context, const RecurrentPass& pass) {
  std::vector<Share> shares = shares_of(pass);
  const float* const weight = pass.weight_hh.get().data<float>();
  for (Share& share : shares) {
    const std::int64_t n = pass.gates * share.width, k = pass.hidden, run = share.width * k;
    share.from = onednn::row_major({share.rows, k});
    share.to = onednn::row_major({share.rows, n});
    plan_product(share, {onednn::steps_kind, k, n});
    const Tensor rows = context.empty({n, k}, DType::f32);
    for (std::int64_t gate = 0; gate < pass.gates; ++gate)
      std::copy_n(weight + (gate * pass.hidden + share.first) * k, run, rows.data<float>() + gate * run);
    lay_out(context, share, onednn::row_major({n, k}).permute_axes({1, 0}), {onednn::lay_out_kind, rows.data<float>()});
  }
  return shares;
}

/// (B, gates H) by the weight's columns of the share: (B, width).
std::vector<Share> back_shares(Context& context, const RecurrentPass& pass) {
  std::vector<Share> shares = shares_of(pass);
  const std::int64_t k = pass.gates * pass.hidden;
  for (Share& share : shares) {
    share.from = onednn::row_major({share.rows, k});
    share.to = onednn::row_major({share.rows, share.width});
    plan_product(share, {onednn::steps_back_kind, k, share.width});
    const memory::desc form({k, share.width}, memory::data_type::f32, memory::dims{pass.hidden, 1});
    lay_out(context, share, form, {onednn::lay_out_back_kind, pass.weight_hh.get().data<float>() + share.first});
  }
  return shares;
}

void multiply(const Share& share, float* from, float* to) {
  onednn::run("product", *share.plan,
              {{DNNL_ARG_SRC, onednn::view(share.from, from)},
               {DNNL_ARG_WEIGHTS, onednn::view(share.plan->weights, share.weight)},
               {DNNL_ARG_DST, onednn::view(share.to, to)}});
}

/// body(share, step) for every step and share, all of a step before any of the next. The first error stops it.
template <class Body>
void in_step(const std::vector<Share>& shares, std::int64_t steps, Body&& body) {
  const ProfileSpan span("recurrent_steps", ProfileSpan::Kind::library);
  std::exception_ptr error;
  std::atomic<bool> failed{false};
  parallel_team(static_cast<int>(shares.size()), [&](std::size_t thread, std::size_t threads) {
    for (std::int64_t step = 0; step < steps; ++step) {
      try {
        for (std::size_t k = thread; k < shares.size() && !failed; k += threads) body(shares[k], step);
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
      team_barrier();
    }
  });
  if (error) std::rethrow_exception(error);
}

kernels::RecurrentSteps steps_of(const RecurrentPass& pass, const Share& share) {
  kernels::RecurrentSteps out = pass.steps();
  out.first = share.first;
  out.width = share.width;
  return out;
}

template <class Kernel>
void run_rows(const Kernel& kernel, const Share& share) {
  for (std::int64_t row = share.row; row < share.row + share.rows; ++row) kernel(SerialTeam{}, row);
}

}  // namespace

bool suits(const Context& context, const RecurrentPass& pass) {
  constexpr std::int64_t worth_it = 3;  // laying out the weight costs as much as a step
  return pass.dtype == DType::f32 && context.device().kind == Device::Kind::cpu && pass.time >= worth_it;
}

void run_steps(Context& context, const RecurrentPass& pass, const RecurrentSequences& of) {
  onednn::guarded("recurrent", [&] {
    const std::vector<Share> shares = forward_shares(context, pass);
    const Tensor recurrent = context.empty({pass.batch, pass.gates * pass.hidden}, DType::f32);
    in_step(shares, pass.time, [&](const Share& share, std::int64_t step) {
      const std::int64_t width = pass.gates * share.width;
      float* const own = recurrent.data<float>() + pass.batch * pass.gates * share.first;  // of all samples
      multiply(share, pass.of_step<float>(pass.states, step, pass.hidden) + share.row * pass.hidden,
               own + share.row * width);
      run_rows(forward_step<float>(pass, of, steps_of(pass, share), {step, own}), share);
    });
  });
}

void run_back(Context& context, const RecurrentPass& pass, const RecurrentFlow& flow) {
  onednn::guarded("recurrent", [&] {
    const std::vector<Share> shares = back_shares(context, pass);
    const Tensor arrived = context.empty({pass.batch, pass.hidden}, DType::f32);  // a share after the other
    std::fill_n(arrived.data<float>(), arrived.elements(), 0.0f);
    // The product of a step needs all gates' gradients, so it is the next round's work: one round more than steps.
    in_step(shares, pass.time + 1, [&](const Share& share, std::int64_t round) {
      const std::int64_t step = pass.time - 1 - round;
      float* const own = arrived.data<float>() + pass.batch * share.first;  // of all samples
      const std::int64_t width = pass.gates * pass.hidden;
      if (round > 0)
        multiply(share, pass.of_step<float>(flow.dstates, step + 1, width) + share.row * width,
                 own + share.row * share.width);
      if (step >= 0) run_rows(gradient_step<float>(pass, flow, steps_of(pass, share), {step, own}), share);
    });
    for (const Share& share : shares)
      for (std::int64_t row = share.row; row < share.row + share.rows; ++row)
        std::copy_n(arrived.data<float>() + pass.batch * share.first + row * share.width, share.width,
                    flow.dh.data<float>() + row * pass.hidden + share.first);
  });
}

}  // namespace trireme::ops::recurrent_cpu
