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
  SelfCommunicator(Identity identity, std::shared_ptr<CollectiveLog> log);

  std::shared_ptr<Communicator> split(int colour, int key, const std::string& label) override;
  Event execute(const Call& call, CollectiveLog::Ticket ticket) override;

 private:
  void deliver();

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

/// This machine's name.
std::string host_name();

}  // namespace trireme
