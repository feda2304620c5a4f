#include "comm/staged_operation.hpp"

#include <algorithm>
#include <utility>

#include "core/base/checked.hpp"

namespace trireme {

StagedOperation::StagedOperation(StagedCall call) : c_(std::move(call)) {
  lay_out();
  // The same on all ranks, whichever side of the call they use.
  const auto kind = c_.call.kind;
  const bool one = kind == Collective::all_reduce || kind == Collective::broadcast || kind == Collective::reduce;
  const int shares = one ? 1 : c_.below->size();
  const auto width = narrow<std::int64_t>(size_of(dtype_of_call(c_.call)));
  step_ = std::max<std::int64_t>(1, narrow<std::int64_t>(c_.chunk_bytes) / (width * shares));
  pieces_ = ceil_div(share_, step_);
}

/// Which shares this rank reads and writes.
void StagedOperation::lay_out() {
  const Call& call = c_.call;
  const int ranks = c_.below->size();
  const bool root = call.peer == c_.below->rank();
  in_.tensor = call.in;
  out_.tensor = call.out;
  in_.shares = out_.shares = 1;
  switch (call.kind) {
    case Collective::all_reduce:
      in_place_ = true;
      share_ = call.in.elements();
      break;
    case Collective::broadcast:
      in_place_ = true;
      in_.shares = root ? 1 : 0;
      out_.shares = root ? 0 : 1;
      share_ = call.in.elements();
      break;
    case Collective::reduce:
      out_.shares = root ? 1 : 0;
      share_ = call.in.elements();
      break;
    case Collective::all_gather:
    case Collective::gather:
      out_.shares = root || call.kind == Collective::all_gather ? ranks : 0;
      share_ = call.in.elements();
      break;
    case Collective::scatter:
    case Collective::reduce_scatter:
      in_.shares = root || call.kind == Collective::reduce_scatter ? ranks : 0;
      share_ = call.out.elements();
      break;
    default:
      require(call.kind == Collective::all_to_all, "{} is not a collective that is staged", name_of(call.kind));
      in_.shares = out_.shares = ranks;
      share_ = call.in.elements() / ranks;
  }
}

bool StagedOperation::advance() {
  if (!std::exchange(begun_, true)) {
    c_.ticket.started();
    c_.port->join_compute();
  }
  while (step()) {
  }
  if (done_ < pieces_) return false;
  c_.ticket.finished();
  return true;
}

/// Whether anything could be done.
bool StagedOperation::step() {
  const auto free = narrow<std::int64_t>(static_cast<std::int64_t>(slots_.size()));
  if (fetched_ < pieces_ && fetched_ < done_ + free) {
    fetch(fetched_++);
    return true;
  }
  if (moved_ < fetched_ && slot(moved_).fetched.done()) {
    move(moved_++);
    return true;
  }
  if (stored_ < moved_ && slot(stored_).moved.done()) {
    store(stored_++);
    return true;
  }
  if (done_ < stored_ && slot(done_).stored.done()) {
    ++done_;
    return true;
  }
  return false;
}

void StagedOperation::block() {
  if (done_ < stored_) return slot(done_).stored.wait();
  if (stored_ < moved_) return slot(stored_).moved.wait();
  if (moved_ < fetched_) slot(moved_).fetched.wait();
}

std::int64_t StagedOperation::count(std::int64_t piece) const { return std::min(step_, share_ - step_ * piece); }

std::byte* StagedOperation::at(const Side& side, int share, std::int64_t piece) const {
  const auto element = share_ * share + step_ * piece;
  return static_cast<std::byte*>(side.tensor.raw()) + to_size(element) * size_of(side.tensor.dtype());
}

Tensor StagedOperation::host(const Side& side, const std::shared_ptr<Buffer>& buffer, std::int64_t piece) const {
  if (side.shares == 0 && !in_place_) return {};
  return {buffer, 0, {std::max(1, side.shares) * count(piece)}, dtype_of_call(c_.call)};
}

void StagedOperation::fetch(std::int64_t piece) {
  Slot& s = slot(piece);
  const std::size_t bytes = to_size(step_) * size_of(dtype_of_call(c_.call));
  const auto shares = [](const Side& side) { return static_cast<std::size_t>(std::max(1, side.shares)); };
  if (!s.in) {
    s.in = c_.port->host_memory(bytes * shares(in_));
    s.out = in_place_ ? s.in : c_.port->host_memory(bytes * shares(out_));
  }
  const std::size_t each = to_size(count(piece)) * size_of(dtype_of_call(c_.call));
  for (int share = 0; share < in_.shares; ++share) {
    c_.port->to_host(static_cast<std::byte*>(s.in->data()) + each * static_cast<std::size_t>(share),
                     at(in_, share, piece), each);
  }
  s.fetched = c_.port->copied_to_host();
}

void StagedOperation::move(std::int64_t piece) {
  Slot& s = slot(piece);
  Call call = c_.call;
  call.in = host(in_, s.in, piece);
  call.out = host(out_, s.out, piece);
  s.moved = c_.below->execute(call, {});
}

void StagedOperation::store(std::int64_t piece) {
  Slot& s = slot(piece);
  s.moved.wait();  // throws what went wrong
  const std::size_t each = to_size(count(piece)) * size_of(dtype_of_call(c_.call));
  for (int share = 0; share < out_.shares; ++share) {
    c_.port->to_device(at(out_, share, piece),
                       static_cast<const std::byte*>(s.out->data()) + each * static_cast<std::size_t>(share), each);
  }
  s.stored = c_.port->copied_to_device();
}

}  // namespace trireme
