#include "comm/communicator.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "comm/call_signature.hpp"
#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {

std::int64_t count_of(const Call& call) {
  return std::max(call.in ? call.in.elements() : 0, call.out ? call.out.elements() : 0);
}

DType dtype_of_call(const Call& call) { return call.in ? call.in.dtype() : call.out.dtype(); }

Communicator::Communicator(Identity identity, std::shared_ptr<CollectiveLog> log)
    : identity_(std::move(identity)), log_(std::move(log)) {
  local_size_ = 0;
  for (int r = 0; r < size(); ++r) {
    if (host_of(r) != host()) continue;
    if (r < rank()) ++local_rank_;
    ++local_size_;
  }
}

Event Communicator::all_reduce(const Tensor& in, const Tensor& out, Reduction reduction) {
  return start({.kind = Collective::all_reduce, .reduction = reduction, .in = in, .out = out});
}

Event Communicator::all_reduce(const Tensor& values, Reduction reduction) {
  return all_reduce(values, values, reduction);
}

Event Communicator::reduce_scatter(const Tensor& all, const Tensor& mine, Reduction reduction) {
  return start({.kind = Collective::reduce_scatter, .reduction = reduction, .in = all, .out = mine});
}

Event Communicator::all_gather(const Tensor& mine, const Tensor& all) {
  return start({.kind = Collective::all_gather, .in = mine, .out = all});
}

Event Communicator::broadcast(const Tensor& values, int root) {
  return start({.kind = Collective::broadcast, .in = values, .out = values, .peer = root});
}

Event Communicator::reduce_to(int root, const Tensor& in, const Tensor& out, Reduction reduction) {
  return start({.kind = Collective::reduce, .reduction = reduction, .in = in, .out = out, .peer = root});
}

Event Communicator::gather_to(int root, const Tensor& mine, const Tensor& all) {
  return start({.kind = Collective::gather, .in = mine, .out = all, .peer = root});
}

Event Communicator::scatter_from(int root, const Tensor& all, const Tensor& mine) {
  return start({.kind = Collective::scatter, .in = all, .out = mine, .peer = root});
}

Event Communicator::all_to_all(const Tensor& in, const Tensor& out) {
  return start({.kind = Collective::all_to_all, .in = in, .out = out});
}

Event Communicator::send(const Tensor& values, int to, int tag) {
  return start({.kind = Collective::send, .in = values, .peer = to, .tag = tag});
}

Event Communicator::recv(const Tensor& values, int from, int tag) {
  return start({.kind = Collective::recv, .out = values, .source = from, .tag = tag});
}

Event Communicator::start_exchange(const Tensor& values, int to, const Tensor& received, int from) {
  return start({.kind = Collective::exchange, .in = values, .out = received, .peer = to, .source = from});
}

Event Communicator::barrier() { return start({.kind = Collective::barrier}); }

std::shared_ptr<Allocator> Communicator::shared_allocator(std::size_t) {
  return {std::shared_ptr<void>{}, &system_allocator(Device::cpu())};
}

void Communicator::abort(ExitCode code) { std::_Exit(static_cast<int>(code)); }

std::vector<double> Communicator::all_reduce_values(std::span<const double> values, Reduction reduction) {
  const auto tensor = Tensor::from(values, {narrow<std::int64_t>(values.size())});
  all_reduce(tensor, reduction).wait();
  return tensor.to_vector<double>();
}

std::vector<std::string> Communicator::all_gather_text(const std::string& mine) {
  const auto ranks = to_size(size());
  const auto length = Tensor::from(std::vector<std::int64_t>{narrow<std::int64_t>(mine.size())}, {1});
  const auto lengths = Tensor::empty({size()}, DType::i64);
  all_gather(length, lengths).wait();
  const auto sizes = lengths.to_vector<std::int64_t>();
  const auto widest = *std::max_element(sizes.begin(), sizes.end());
  const auto text = Tensor::zeros({widest}, DType::u8);
  std::copy(mine.begin(), mine.end(), text.span<std::uint8_t>().begin());
  const auto texts = Tensor::empty({size(), widest}, DType::u8);
  all_gather(text, texts).wait();
  std::vector<std::string> out(ranks);
  const auto bytes = texts.span<std::uint8_t>();
  for (std::size_t r = 0; r < ranks; ++r) {
    const auto piece = bytes.subspan(r * to_size(widest), to_size(sizes[r]));
    out[r].assign(piece.begin(), piece.end());
  }
  return out;
}

void Communicator::sum(const Tensor& values) { all_reduce(values).wait(); }
void Communicator::gather(const Tensor& mine, const Tensor& all) { all_gather(mine, all).wait(); }
void Communicator::scatter_sum(const Tensor& all, const Tensor& mine) { reduce_scatter(all, mine).wait(); }
void Communicator::exchange(const Tensor& out, int to, const Tensor& in, int from) {
  start_exchange(out, to, in, from).wait();
}

Event Communicator::start(const Call& call) {
  check(call);
  if (call.out) call.out.buffer()->bump_version();
  CollectiveLog::Entry entry;
  entry.sequence = ++calls_;
  entry.communicator = name();
  entry.kind = call.kind;
  entry.count = count_of(call);
  if (call.in || call.out) entry.dtype = dtype_of_call(call);
  entry.reduction = static_cast<std::uint8_t>(call.reduction);
  entry.root = call.peer;
  auto ticket = log_->record(std::move(entry));
  if (log_->checks_calls()) compare(call, ticket.sequence());
  auto event = execute(call, std::move(ticket));
  if (grouping_ && event.completion()) group_.push_back(event.completion());
  return event;
}

/// Every rank announces the call that it is about to make, in a call that is always the same, so that differing calls
/// meet here and not in each other's data. Messages concern two ranks only and are not compared.
void Communicator::compare(const Call& call, std::uint64_t sequence) {
  const bool message =
      call.kind == Collective::send || call.kind == Collective::recv || call.kind == Collective::exchange;
  if (message || size() == 1) return;
  const auto mine = Tensor::zeros({CallSignature::bytes}, DType::u8);
  const auto all = Tensor::empty({size(), CallSignature::bytes}, DType::u8);
  CallSignature::of(call, sequence).write(mine.span<std::uint8_t>());
  try {
    const CollectiveLog::Comparing shown(*log_);
    execute({.kind = Collective::all_gather, .in = mine, .out = all}, {}).wait();
  } catch (const Error& error) {
    fail(error.code(), "comparing {} of {} between the ranks: {}", CallSignature::of(call, sequence).text(), name(),
         error.what());
  }
  const auto difference = call_difference(all.span<std::uint8_t>(), hosts());
  if (!difference.empty()) fail(ExitCode::disagree, "the ranks make different calls on {}: {}", name(), difference);
}

void Communicator::begin_group() {
  require(!std::exchange(grouping_, true), "a group of calls on {} was begun inside another one", name());
}

Event Communicator::end_group() {
  require(std::exchange(grouping_, false), "a group of calls on {} was ended that was not begun", name());
  auto all = std::make_shared<Completion>();
  all->set_helper([calls = std::exchange(group_, {})] {
    for (const auto& call : calls) call->wait();
  });
  return Event(std::move(all));
}

void Communicator::abandon_group() noexcept {
  grouping_ = false;
  group_.clear();
}

std::string Communicator::describe(const Call& call, const CollectiveLog::Ticket& ticket) const {
  return fmt::format("{} number {} of {} ({} x {}) at rank {} on host {}", name_of(call.kind), ticket.sequence(),
                     name(), call.in || call.out ? name_of(dtype_of_call(call)) : "nothing", count_of(call), rank(),
                     host());
}

/// On ranks other than the root one side of a rooted call is not used.
bool Communicator::is_rooted_elsewhere(const Call& call) const {
  const bool rooted =
      call.kind == Collective::reduce || call.kind == Collective::gather || call.kind == Collective::scatter;
  return rooted && call.peer != rank();
}

void Communicator::check(const Call& call) const {
  const auto what = name_of(call.kind);
  for (const int other : {call.peer, call.source}) {
    require(other >= 0 && other < size(), "{} on {}: rank {} does not exist, the ranks are 0 to {}", what, name(),
            other, size() - 1);
  }
  for (const Tensor* tensor : {&call.in, &call.out}) {
    if (!*tensor || moves(tensor->device())) continue;
    fail(ExitCode::failure,
         "{} on {}: a tensor lies on {}, which this communicator does not reach; copy it to the CPU, or make the "
         "communicator with with_gpu()",
         what, name(), tensor->device().name());
  }
  if (call.in && call.out && call.in.device() != call.out.device())
    fail(ExitCode::failure, "{} on {}: one tensor lies on {} and the other on {}; both must be on one device", what,
         name(), call.in.device().name(), call.out.device().name());
  check_pieces(call);
}

void Communicator::check_pieces(const Call& call) const {
  const auto kind = call.kind;
  if (kind == Collective::barrier || kind == Collective::exchange) return;
  const bool needs_in = kind != Collective::recv && !(kind == Collective::scatter && is_rooted_elsewhere(call));
  const bool needs_out = kind != Collective::send && !(kind != Collective::scatter && is_rooted_elsewhere(call));
  require((call.in || !needs_in) && (call.out || !needs_out), "{} on {}: a tensor is missing", name_of(kind), name());
  if (!needs_in || !needs_out) return;
  const std::int64_t in = call.in.elements(), out = call.out.elements();
  const bool gathers = kind == Collective::all_gather || kind == Collective::gather;
  const bool scatters = kind == Collective::reduce_scatter || kind == Collective::scatter;
  const std::int64_t wanted = gathers ? checked_mul(in, size()) : in;
  require(scatters ? checked_mul(out, size()) == in : out == wanted,
          "{} on {} ({} ranks): {} elements are read and {} written, which do not fit together", name_of(kind), name(),
          size(), in, out);
  require(kind != Collective::all_to_all || in % size() == 0, "all_to_all on {}: {} elements are not {} equal pieces",
          name(), in, size());
  require(call.in.dtype() == call.out.dtype(), "{} on {}: {} elements are read and {} written; make the types equal",
          name_of(kind), name(), name_of(call.in.dtype()), name_of(call.out.dtype()));
}

}  // namespace trireme
