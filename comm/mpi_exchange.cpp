#include "comm/mpi_exchange.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "comm/node_reduce.hpp"
#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

/// Blocks begin on cache lines of their own.
constexpr std::int64_t alignment = 128;
/// Far more operations than are ever under way, and far below the 32,767 that MPI promises for tags.
constexpr int told_apart = 8192;

std::string error_text(int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) return fmt::format("error {}", code);
  return text.data();
}

std::int64_t block_elements(std::int64_t n, int ranks) { return round_up(ceil_div(n, ranks), alignment); }

}  // namespace

void must_succeed(int code, const char* call, const std::string& what) {
  if (code == MPI_SUCCESS) return;
  fail(ExitCode::peer_lost, "{} failed in {}: {}", call, what, error_text(code));
}

bool ExchangeAllReduce::is_worth_it(const Call& call, int ranks) {
  return call.kind == Collective::all_reduce && call.in.bytes() >= to_size(ranks) * least_block_bytes;
}

ExchangeAllReduce::ExchangeAllReduce(Call call, std::shared_ptr<ExchangeChannel> channel, std::string what)
    : call_(std::move(call)),
      channel_(std::move(channel)),
      what_(std::move(what)),
      width_(size_of(call_.in.dtype())),
      block_(block_elements(call_.in.elements(), channel_->size)),
      step_(narrow<std::int64_t>(piece_bytes / width_)) {}

void ExchangeAllReduce::start() {
  operation_ = channel_->operations;
  channel_->operations = (operation_ + 1) % told_apart;
  rounds_.resize(to_size(ceil_div(block_, step_)));
  if (!channel_->spare.empty()) {
    memory_ = std::move(channel_->spare.back());
    channel_->spare.pop_back();
  }
  const std::size_t slots = std::min(rounds_.size(), to_size(window)) * to_size(channel_->size - 1);
  const std::size_t wanted = slots * to_size(std::min(step_, block_)) * width_;
  if (memory_.size() < wanted) memory_.resize(wanted);
  advance();
}

bool ExchangeAllReduce::poll() {
  while (take_completed()) advance();
  if (to_size(gathered_) < rounds_.size()) return false;
  channel_->spare.push_back(std::move(memory_));
  return true;
}

/// Sums go round by round, so that the pieces of each phase leave in an order that the receiver knows.
void ExchangeAllReduce::advance() {
  for (bool moved = true; moved;) {
    moved = false;
    while (summed_ < started_ && rounds_[to_size(summed_)].scatters == 0) {
      sum(summed_);
      gather(summed_++);
      moved = true;
    }
    while (gathered_ < summed_ && rounds_[to_size(gathered_)].gathers == 0) {
      ++gathered_;
      moved = true;
    }
    while (to_size(started_) < rounds_.size() && started_ < gathered_ + window) {
      scatter(started_++);
      moved = true;
    }
  }
}

/// The parts of this rank's piece arrive, the parts of the others' pieces leave; rank by rank at growing distance, so
/// that no rank is sent to by all others at once.
void ExchangeAllReduce::scatter(int round) {
  const int rank = channel_->rank, size = channel_->size;
  const Owner owner{round, Phase::scatter};
  for (int distance = 1; distance < size; ++distance) {
    const int from = (rank + size - distance) % size, to = (rank + distance) % size;
    receive(arrived(from, round), piece(rank, round), from, owner);
    const Range leaving = piece(to, round);
    send(at(call_.in, leaving), leaving, to, owner);
  }
}

void ExchangeAllReduce::sum(int round) {
  const Range mine = piece(channel_->rank, round);
  std::vector<const std::byte*> parts;
  for (int r = 0; r < channel_->size; ++r) {
    parts.push_back(r == channel_->rank ? at(call_.in, mine) : arrived(r, round));
  }
  const std::array<std::byte*, 1> target{at(call_.out, mine)};
  reduce_in_rank_order({call_.in.dtype(), call_.reduction, parts, target, mine.count, Workers::this_thread});
}

/// Begins only when the round's parts have left: in place, the sums arrive where those were sent from.
void ExchangeAllReduce::gather(int round) {
  const int rank = channel_->rank, size = channel_->size;
  const Owner owner{round, Phase::gather};
  for (int distance = 1; distance < size; ++distance) {
    const int from = (rank + size - distance) % size, to = (rank + distance) % size;
    const Range arriving = piece(from, round), mine = piece(rank, round);
    receive(at(call_.out, arriving), arriving, from, owner);
    send(at(call_.out, mine), mine, to, owner);
  }
}

/// True when a request was completed. One call for all requests: each call looks at every connection.
bool ExchangeAllReduce::take_completed() {
  if (requests_.empty()) return false;
  completed_.resize(requests_.size());
  int count = 0;
  must_succeed(
      MPI_Testsome(narrow<int>(requests_.size()), requests_.data(), &count, completed_.data(), MPI_STATUSES_IGNORE),
      "MPI_Testsome", what_);
  if (count == MPI_UNDEFINED || count == 0) return false;
  for (int k = 0; k < count; ++k) {
    const Owner owner = owners_[to_size(completed_[to_size(k)])];
    Round& round = rounds_[to_size(owner.round)];
    --(owner.phase == Phase::scatter ? round.scatters : round.gathers);
  }
  std::size_t kept = 0;
  for (std::size_t k = 0; k < requests_.size(); ++k) {
    if (requests_[k] == MPI_REQUEST_NULL) continue;
    requests_[kept] = requests_[k];
    owners_[kept++] = owners_[k];
  }
  requests_.resize(kept);
  owners_.resize(kept);
  return true;
}

ExchangeAllReduce::Range ExchangeAllReduce::piece(int block, int round) const {
  const std::int64_t n = call_.in.elements();
  const std::int64_t end = std::min(n, block_ * (block + 1));
  const std::int64_t first = std::min(end, block_ * block + step_ * round);
  return {first, std::min(step_, end - first)};
}

std::byte* ExchangeAllReduce::arrived(int from, int round) {
  const int place = from < channel_->rank ? from : from - 1;
  const auto slot = to_size((round % window) * (channel_->size - 1) + place);
  return memory_.data() + slot * to_size(std::min(step_, block_)) * width_;
}

std::byte* ExchangeAllReduce::at(const Tensor& tensor, const Range& range) const {
  return static_cast<std::byte*>(tensor.raw()) + to_size(range.first) * width_;
}

void ExchangeAllReduce::send(const std::byte* from, const Range& range, int to, Owner owner) {
  if (range.count == 0) return;
  must_succeed(MPI_Isend(from, bytes(range), MPI_BYTE, to, tag(owner.phase), channel_->comm, request(owner)),
               "MPI_Isend", what_);
}

void ExchangeAllReduce::receive(std::byte* into, const Range& range, int from, Owner owner) {
  if (range.count == 0) return;
  must_succeed(MPI_Irecv(into, bytes(range), MPI_BYTE, from, tag(owner.phase), channel_->comm, request(owner)),
               "MPI_Irecv", what_);
}

MPI_Request* ExchangeAllReduce::request(Owner owner) {
  Round& round = rounds_[to_size(owner.round)];
  ++(owner.phase == Phase::scatter ? round.scatters : round.gathers);
  owners_.push_back(owner);
  return &requests_.emplace_back(MPI_REQUEST_NULL);
}

/// Operations may overtake each other between two ranks, pieces of one phase of one operation cannot.
int ExchangeAllReduce::tag(Phase phase) const { return 2 * operation_ + static_cast<int>(phase); }

int ExchangeAllReduce::bytes(const Range& range) const { return narrow<int>(to_size(range.count) * width_); }

}  // namespace trireme
