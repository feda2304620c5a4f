#include "comm/self_communicator.hpp"

#include <unistd.h>

#include <array>
#include <exception>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/now.hpp"
#include "core/device/cuda.hpp"

namespace trireme {

SelfCommunicator::SelfCommunicator()
    : SelfCommunicator({.name = "self", .rank = 0, .hosts = {host_name()}}, std::make_shared<CollectiveLog>()) {}

SelfCommunicator::SelfCommunicator(Identity identity, std::shared_ptr<CollectiveLog> log, const Stream* compute)
    : Communicator(std::move(identity), std::move(log)), compute_(compute) {
  require(size() == 1, "a SelfCommunicator has one rank, not {}", size());
}

std::shared_ptr<Communicator> SelfCommunicator::split(int colour, int, const std::string& label) {
  if (colour < 0) return nullptr;
  return std::make_shared<SelfCommunicator>(Identity{.name = name() + "/" + label, .rank = 0, .hosts = hosts()},
                                            shared_log(), compute_);
}

Event SelfCommunicator::execute(const Call& call, CollectiveLog::Ticket ticket) {
  ticket.started();
  if (call.kind == Collective::send || call.kind == Collective::recv) {
    auto completion = std::make_shared<Completion>();
    auto& box = boxes_[call.tag];
    const bool sends = call.kind == Collective::send;
    (sends ? box.sent : box.wanted).push_back({sends ? call.in : call.out, completion, std::move(ticket)});
    deliver();
    return Event(std::move(completion));
  }
  Event event;
  if (call.in && call.out && call.in.raw() != call.out.raw()) event = copy(call.out, call.in);
  ticket.finished();
  return event;
}

Event SelfCommunicator::copy(const Tensor& to, const Tensor& from) const {
  if (compute_ == nullptr || !to.device().is_cuda() || to.device() != compute_->device()) {
    to.copy_from(from);
    return {};
  }
  cuda::copy_async(to.raw(), from.raw(), to.bytes(), compute_->native());
  return compute_->record();
}

void SelfCommunicator::deliver() {
  for (auto& [tag, box] : boxes_) {
    while (!box.sent.empty() && !box.wanted.empty()) {
      const Message from = std::move(box.sent.front()), to = std::move(box.wanted.front());
      box.sent.erase(box.sent.begin());
      box.wanted.erase(box.wanted.begin());
      from.ticket.finished();
      to.ticket.finished();
      from.completion->finish();
      try {
        copy(to.values, from.values).wait();
        to.completion->finish();
      } catch (...) {
        to.completion->fail(std::current_exception());
      }
    }
  }
}

}  // namespace trireme
