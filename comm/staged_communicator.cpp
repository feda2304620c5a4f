#include "comm/staged_communicator.hpp"

#include <chrono>
#include <list>
#include <thread>
#include <utility>

#include "comm/mpi_version.hpp"
#include "comm/pending_work.hpp"
#include "comm/self_communicator.hpp"
#include "comm/staged_operation.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

bool moves_only(Collective kind) {
  return kind != Collective::all_reduce && kind != Collective::reduce && kind != Collective::reduce_scatter;
}
bool is_message(Collective kind) {
  return kind == Collective::send || kind == Collective::recv || kind == Collective::exchange;
}

/// A message that has come to host memory, or will.
struct Arrival {
  Event moved;
  Tensor host, out;
  std::shared_ptr<Completion> completion;
};

/// A call of the communicator below that must not overtake pieces: those are sent when their copies are done, so only
/// one queue for all gives every rank the same order.
class InTurn final : public Work {
 public:
  InTurn(std::shared_ptr<Communicator> below, Call call, CollectiveLog::Ticket ticket)
      : below_(std::move(below)), call_(std::move(call)), ticket_(std::move(ticket)) {}
  bool advance() override {
    if (!std::exchange(sent_, true)) event_ = below_->execute(call_, ticket_);
    if (!event_.done()) return false;
    event_.wait();
    return true;
  }
  void block() override { event_.wait(); }

 private:
  std::shared_ptr<Communicator> below_;
  Call call_;
  CollectiveLog::Ticket ticket_;
  bool sent_ = false;
  Event event_;
};

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(std::shared_ptr<Communicator> base, std::shared_ptr<StagingPort> port, StagingOptions options)
      : Communicator(base->identity(), base->shared_log()),
        base_(std::move(base)),
        port_(std::move(port)),
        options_(options),
        direct_(options_.direct == StagingOptions::Direct::where_possible && port_->device().is_cuda() &&
                mpi_takes_gpu_memory()) {}

  ~StagedCommunicator() override {
    const auto gone = std::make_exception_ptr(Error("a message was waited for after its communicator was gone"));
    for (const auto& arrival : arrivals_) {
      arrival->completion->set_helper(nullptr);
      arrival->completion->fail(gone);
    }
  }

  /// Collective: pieces are sent when their copies are done, so they must not mix with the calls of others.
  void open() { below_ = base_->split(0, rank(), "staged"); }

  static std::shared_ptr<Communicator> wrap(std::shared_ptr<Communicator> base, std::shared_ptr<StagingPort> port,
                                            const StagingOptions& options) {
    if (base->size() == 1)
      return std::make_shared<SelfCommunicator>(base->identity(), base->shared_log(), &port->compute());
    auto made = std::make_shared<StagedCommunicator>(std::move(base), std::move(port), options);
    made->open();
    return made;
  }

  std::shared_ptr<Communicator> split(int colour, int key, const std::string& label) override {
    progress();
    auto part = base_->split(colour, key, label);
    return part ? wrap(std::move(part), port_, options_) : nullptr;
  }

  Event execute(const Call& call, CollectiveLog::Ticket ticket) override {
    const Tensor& any = call.in ? call.in : call.out;
    if (!any || any.device() != port_->device()) return pass_on(call, std::move(ticket));
    if (count_of(call) == 0 && !is_message(call.kind)) {
      ticket.started();
      ticket.finished();
      return {};
    }
    if (direct_ && moves_only(call.kind)) {
      port_->compute().record().wait();  // MPI knows nothing of streams
      return pass_on(call, std::move(ticket));
    }
    if (is_message(call.kind)) return send_message(call, std::move(ticket));
    return pending_->submit(
        std::make_shared<StagedOperation>(StagedCall{port_, below_, call, std::move(ticket), options_.chunk_bytes}));
  }

  void progress() override {
    base_->progress();
    below_->progress();
    pending_->progress();
    for (auto it = arrivals_.begin(); it != arrivals_.end();) {
      const auto arrival = *it;
      if (!arrival->moved.done()) {
        ++it;
        continue;
      }
      it = arrivals_.erase(it);
      take(*arrival);
    }
  }

  bool moves(Device device) const override { return device == Device::cpu() || device == port_->device(); }
  const Stream* compute() const override { return &port_->compute(); }
  std::shared_ptr<Allocator> shared_allocator(std::size_t) override {
    return {std::shared_ptr<void>{}, &system_allocator(port_->device())};
  }
  [[noreturn]] void abort(ExitCode code) override {
    base_->abort(code);
    Communicator::abort(code);  // not reached
  }

 private:
  Tensor host_like(const Tensor& tensor) const {
    return {port_->host_memory(tensor.bytes()), 0, tensor.shape(), tensor.dtype()};
  }

  Event pass_on(const Call& call, CollectiveLog::Ticket ticket) {
    if (is_message(call.kind) || pending_->empty()) return base_->execute(call, std::move(ticket));
    return pending_->submit(std::make_shared<InTurn>(base_, call, std::move(ticket)));
  }

  Event send_message(const Call& call, CollectiveLog::Ticket ticket) {
    Call below = call;
    port_->join_compute();
    if (call.in) {
      below.in = host_like(call.in);
      port_->to_host(below.in.raw(), call.in.raw(), call.in.bytes());
      port_->copied_to_host().wait();
    }
    if (call.out) below.out = host_like(call.out);
    auto event = below_->execute(below, std::move(ticket));
    if (!call.out) return event;
    auto arrival = std::make_shared<Arrival>();
    *arrival = {std::move(event), below.out, call.out, std::make_shared<Completion>()};
    arrivals_.push_back(arrival);
    arrival->completion->set_helper([this, arrival] { await(*arrival); });
    return Event(arrival->completion);
  }

  void take(const Arrival& arrival) {
    arrival.completion->set_helper(nullptr);
    try {
      arrival.moved.wait();
      port_->to_device(arrival.out.raw(), arrival.host.raw(), arrival.out.bytes());
      port_->copied_to_device().wait();
      arrival.completion->finish();
    } catch (...) {
      arrival.completion->fail(std::current_exception());
    }
  }

  /// Others may need this thread for a collective before they send what is waited for.
  void await(const Arrival& arrival) {
    while (!arrival.completion->done()) {
      progress();
      if (!arrival.completion->done()) std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    arrival.completion->wait();
  }

  std::shared_ptr<Communicator> base_, below_;
  std::shared_ptr<StagingPort> port_;
  StagingOptions options_;
  bool direct_;
  std::shared_ptr<PendingWork> pending_ = std::make_shared<PendingWork>();
  std::list<std::shared_ptr<Arrival>> arrivals_;
};

}  // namespace

std::shared_ptr<Communicator> with_staging(std::shared_ptr<Communicator> base, std::shared_ptr<StagingPort> port,
                                           const StagingOptions& options) {
  return StagedCommunicator::wrap(std::move(base), std::move(port), options);
}

std::shared_ptr<Communicator> with_staging(std::shared_ptr<Communicator> base, const Stream& compute,
                                           const StagingOptions& options) {
  if (!compute.device().is_cuda()) return base;
  return with_staging(std::move(base), make_staging_port(compute), options);
}

}  // namespace trireme
