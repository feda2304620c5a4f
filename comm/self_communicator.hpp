// A world of one: a real communicator whose collectives copy. Programs run the same text with it as with many ranks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace trireme {

class SelfCommunicator final : public Communicator {
 public:
  /// Uses this machine's host name and a log of its own.
  SelfCommunicator();
  /// With the stream that computes, tensors on its device are copied in its order, without the host.
  SelfCommunicator(Identity identity, std::shared_ptr<CollectiveLog> log, const Stream* compute = nullptr);

  std::shared_ptr<Communicator> split(int colour, int key, const std::string& label) override;
  /// Every device; without a stream copies block until all queued work is done.
  bool moves(Device) const override { return true; }
  const Stream* compute() const override { return compute_; }
  Event execute(const Call& call, CollectiveLog::Ticket ticket) override;

 private:
  void deliver();
  Event copy(const Tensor& to, const Tensor& from) const;

  const Stream* compute_ = nullptr;
  struct Message {
    Tensor values;
    std::shared_ptr<Completion> completion;
    CollectiveLog::Ticket ticket;
  };
  struct Box {
    std::vector<Message> sent, wanted;
  };
  // Messages to itself by tag, delivered in order once both ends are there.
  std::map<int, Box> boxes_;
};

}  // namespace trireme
