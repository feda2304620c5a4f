#include "comm/nccl_calls.hpp"

#include <algorithm>
#include <utility>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/kernels/launch.hpp"
#include "core/kernels/sum_parts.hpp"

namespace trireme::nccl {
namespace {

struct Range {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

std::byte* at(const Tensor& tensor, std::int64_t element) {
  return static_cast<std::byte*>(tensor.raw()) + to_size(element) * size_of(tensor.dtype());
}

void add_parts(const Stream& stream, DType dtype, const kernels::SumParts<BFloat16>& sum) {
  if (dtype == DType::bf16) return launch_elements(stream, sum.n, sum);
  launch_elements(stream, sum.n,
                  kernels::SumParts<Float16>{reinterpret_cast<const Float16*>(sum.x), reinterpret_cast<Float16*>(sum.y),
                                             sum.parts, sum.n});
}

class Planner {
 public:
  Planner(const Call& call, const CallPlace& place) : call_(call), place_(place) {}

  Job plan() {
    if (count_of(call_) == 0) return {};
    for (const Tensor* tensor : {&call_.in, &call_.out})
      if (*tensor) job_.keep.push_back(tensor->buffer());
    if (reduces(call_.kind)) {
      plan_sum();
    } else {
      job_.stages.emplace_back();
      plan_moves(job_.stages.back());
    }
    return std::move(job_);
  }

 private:
  bool is_root() const { return call_.peer == place_.rank; }

  void plan_sum() {
    const DType dtype = call_.in.dtype();
    require(dtype != DType::u16, "{} of u16 on a GPU: u16 is a type of storage, NCCL adds and compares none of it",
            name_of(call_.kind));
    if (is_half(dtype) && call_.reduction == Reduction::sum && place_.half_sums == HalfSums::f32 && place_.size > 1)
      return plan_half_sum();
    Transfer transfer{.operation = Operation::all_reduce,
                      .from = call_.in.raw(),
                      .to = call_.out ? call_.out.raw() : nullptr,
                      .count = to_size(call_.in.elements()),
                      .dtype = dtype,
                      .reduction = call_.reduction,
                      .peer = call_.peer};
    if (call_.kind == Collective::reduce_scatter) {
      transfer.operation = Operation::reduce_scatter;
      transfer.count = to_size(call_.out.elements());
    } else if (call_.kind == Collective::reduce) {
      transfer.operation = Operation::reduce;
      if (!is_root()) transfer.to = nullptr;
    }
    job_.stages.push_back({{transfer}});
  }

  /// The share of rank r: equal shares of whole packs, but for the last ones.
  Range share(int r) const {
    const std::int64_t n = call_.in.elements();
    if (call_.kind == Collective::reduce_scatter) return {n / place_.size * r, n / place_.size};
    const std::int64_t step = round_up(ceil_div(n, place_.size), 8);
    const std::int64_t first = std::min(n, step * r);
    return {first, std::min(n, first + step) - first};
  }

  void plan_half_sum() {
    const DType dtype = call_.in.dtype();
    const Range mine = share(place_.rank);
    const auto scratch = place_.scratch->allocate(to_size(mine.count) * to_size(place_.size) * size_of(dtype));
    job_.keep.push_back(scratch);
    auto* parts = static_cast<std::byte*>(scratch->data());
    Stage spread;
    for (int r = 0; r < place_.size; ++r) {
      const Range theirs = share(r);
      send(spread, at(call_.in, theirs.first), {theirs.count, dtype, r});
      receive(spread, parts + to_size(mine.count) * to_size(r) * size_of(dtype), {mine.count, dtype, r});
    }
    auto* sum = parts;
    if (call_.kind == Collective::reduce_scatter) {
      sum = at(call_.out, 0);
    } else if (call_.kind == Collective::all_reduce || is_root()) {
      sum = at(call_.out, mine.first);
    }
    const kernels::SumParts<BFloat16> kernel{reinterpret_cast<const BFloat16*>(parts), reinterpret_cast<BFloat16*>(sum),
                                             place_.size, mine.count};
    spread.then = [dtype, kernel](const Stream& stream) { add_parts(stream, dtype, kernel); };
    job_.stages.push_back(std::move(spread));
    if (call_.kind != Collective::reduce_scatter) collect(sum, mine);
  }

  /// The shares of the sum go to all ranks, or to the root.
  void collect(const std::byte* sum, const Range& mine) {
    const DType dtype = call_.in.dtype();
    const bool all = call_.kind == Collective::all_reduce;
    Stage stage;
    for (int r = 0; r < place_.size; ++r) {
      if (r == place_.rank) continue;
      const Range theirs = share(r);
      if (all || r == call_.peer) send(stage, sum, {mine.count, dtype, r});
      if (all || is_root()) receive(stage, at(call_.out, theirs.first), {theirs.count, dtype, r});
    }
    job_.stages.push_back(std::move(stage));
  }

  void plan_moves(Stage& stage) {
    const Tensor& in = call_.in;
    const Tensor& out = call_.out;
    switch (call_.kind) {
      case Collective::all_gather:
        return move(stage, Operation::all_gather, in.elements());
      case Collective::broadcast:
        return move(stage, Operation::broadcast, in.elements());
      case Collective::gather:
        send(stage, in.raw(), {in.elements(), in.dtype(), call_.peer});
        return is_root() ? receive_pieces(stage, in.elements()) : void();
      case Collective::scatter:
        if (is_root()) send_pieces(stage, out.elements());
        return receive(stage, out.raw(), {out.elements(), out.dtype(), call_.peer});
      case Collective::all_to_all:
        send_pieces(stage, in.elements() / place_.size);
        return receive_pieces(stage, in.elements() / place_.size);
      default:
        if (in) send(stage, in.raw(), {in.elements(), in.dtype(), call_.peer});
        if (out) receive(stage, out.raw(), {out.elements(), out.dtype(), call_.source});
    }
  }

  struct Message {
    std::int64_t count;
    DType dtype;
    int peer;
  };
  static Transfer transfer_of(Operation operation, const Message& message) {
    Transfer out{.operation = operation, .count = to_size(message.count), .dtype = message.dtype, .peer = message.peer};
    if (message.dtype == DType::u16) {
      out.dtype = DType::u8;
      out.count *= 2;
    }
    return out;
  }
  static void send(Stage& stage, const void* from, const Message& message) {
    if (message.count == 0) return;
    stage.transfers.push_back(transfer_of(Operation::send, message));
    stage.transfers.back().from = from;
  }
  static void receive(Stage& stage, void* to, const Message& message) {
    if (message.count == 0) return;
    stage.transfers.push_back(transfer_of(Operation::recv, message));
    stage.transfers.back().to = to;
  }
  void move(Stage& stage, Operation operation, std::int64_t count) const {
    stage.transfers.push_back(transfer_of(operation, {count, call_.in.dtype(), call_.peer}));
    stage.transfers.back().from = call_.in.raw();
    stage.transfers.back().to = call_.out.raw();
  }
  void send_pieces(Stage& stage, std::int64_t count) const {
    for (int r = 0; r < place_.size; ++r) send(stage, at(call_.in, count * r), {count, call_.in.dtype(), r});
  }
  void receive_pieces(Stage& stage, std::int64_t count) const {
    for (int r = 0; r < place_.size; ++r) receive(stage, at(call_.out, count * r), {count, call_.out.dtype(), r});
  }

  const Call& call_;
  const CallPlace& place_;
  Job job_;
};

}  // namespace

Job plan(const Call& call, const CallPlace& place) { return Planner(call, place).plan(); }

}  // namespace trireme::nccl
