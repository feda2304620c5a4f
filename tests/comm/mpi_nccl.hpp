// NCCL's calls carried out by MPI on host memory, at once: with it the NCCL communicator computes real results on
// machines without a GPU, so that counts, places and groups of its calls are tested with real ranks.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "comm/nccl_communicator.hpp"
#include "core/base/checked.hpp"

namespace trireme::test {

class MpiNccl final : public nccl::Api {
 public:
  using Status = nccl::Status;
  explicit MpiNccl(std::shared_ptr<Communicator> world) : world_(std::move(world)) {}

  Status make_id(nccl::Id& id) override {
    id.fill('m');
    return Status::success;
  }
  Status init(nccl::Comm& comm, const nccl::Id& id, const nccl::Member& who) override {
    if (id.front() != 'm' || who.rank != world_->rank()) return Status::invalid_argument;
    comm = keep(world_->split(0, who.rank, "nccl"));
    return Status::success;
  }
  Status split(nccl::Comm parent, nccl::Comm& part, const nccl::Colour& colour) override {
    part = keep(of(parent).split(colour.colour, colour.key, "nccl"));
    return Status::success;
  }
  Status rank_of(nccl::Comm comm, int& rank) override {
    rank = of(comm).rank();
    return Status::success;
  }
  Status state(nccl::Comm) override { return Status::success; }
  std::string explain(nccl::Comm, Status) override { return "MPI stands in for NCCL"; }
  Status finalize(nccl::Comm) override { return Status::success; }
  Status destroy(nccl::Comm) override { return Status::success; }
  void abort(nccl::Comm) override {}

  Status group_start() override {
    grouped_ = true;
    return Status::success;
  }
  Status group_end() override {
    grouped_ = false;
    for (const auto& event : std::exchange(messages_, {})) event.wait();
    return Status::success;
  }
  Status enqueue(const nccl::Transfer& t, nccl::Comm comm, const Stream&) override {
    messages_.push_back(start(t, of(comm)));
    return grouped_ ? Status::success : group_end();
  }

  Status allocate(nccl::Block& block) override {
    memory_.push_back(system_allocator(Device::cpu()).allocate(block.bytes));
    block.data = memory_.back()->data();
    return Status::success;
  }
  void release(const nccl::Block&) override {}
  Status register_memory(nccl::Comm, const nccl::Block&, void*&) override { return Status::success; }
  Status unregister(nccl::Comm, void*) override { return Status::success; }

 private:
  using Comms = std::deque<std::shared_ptr<Communicator>>;
  nccl::Comm keep(std::shared_ptr<Communicator> comm) {
    comms_.push_back(std::move(comm));
    return &comms_.back();
  }
  static Communicator& of(nccl::Comm comm) { return **static_cast<Comms::value_type*>(comm); }

  static Tensor at(const void* data, const nccl::Transfer& t, std::size_t pieces = 1) {
    if (data == nullptr) return {};
    const auto n = narrow<std::int64_t>(t.count * pieces);
    auto buffer =
        std::make_shared<Buffer>(const_cast<void*>(data), to_size(n) * size_of(t.dtype), Device::cpu(), nullptr);
    return {std::move(buffer), 0, {n}, t.dtype};
  }

  static Event start(const nccl::Transfer& t, Communicator& comm) {
    const auto ranks = to_size(comm.size());
    switch (t.operation) {
      case nccl::Operation::all_reduce:
        return comm.all_reduce(at(t.from, t), at(t.to, t), t.reduction);
      case nccl::Operation::reduce_scatter:
        return comm.reduce_scatter(at(t.from, t, ranks), at(t.to, t), t.reduction);
      case nccl::Operation::all_gather:
        return comm.all_gather(at(t.from, t), at(t.to, t, ranks));
      case nccl::Operation::broadcast:
        return comm.broadcast(at(t.to, t), t.peer);
      case nccl::Operation::reduce:
        return comm.reduce_to(t.peer, at(t.from, t), at(t.to, t), t.reduction);
      case nccl::Operation::send:
        return comm.send(at(t.from, t), t.peer);
      case nccl::Operation::recv:
        break;
    }
    return comm.recv(at(t.to, t), t.peer);
  }

  std::shared_ptr<Communicator> world_;
  Comms comms_;
  bool grouped_ = false;
  std::vector<Event> messages_;
  std::vector<std::shared_ptr<Buffer>> memory_;
};

/// `base` with an NCCL communicator on top whose GPU is the host.
inline std::shared_ptr<Communicator> with_mpi_nccl(std::shared_ptr<Communicator> base,
                                                   const NcclOptions& options = {}) {
  static const Stream compute(Device::cpu());
  const auto api = std::make_shared<MpiNccl>(base);
  return NcclCommunicator::make(
      std::move(base),
      [&] {
        return nccl::Tools{
            .api = api, .queue = nccl::make_queue(compute), .clock = nccl::make_clock(), .end_job = nullptr};
      },
      options);
}

}  // namespace trireme::test
