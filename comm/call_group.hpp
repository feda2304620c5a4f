// A scope in which calls of one communicator are sent as one:
//   CallGroup group(comm); comm.send(a, 1); comm.recv(b, 2); group.end().wait();
// On a GPU this is one launch instead of many, and what would wait for each other in turn runs at once. The events of
// the calls are for the host, after the end; the end's event is for streams too.
#pragma once

#include <utility>

#include "comm/communicator.hpp"

namespace trireme {

class CallGroup {
 public:
  explicit CallGroup(Communicator& comm) : comm_(&comm) { comm.begin_group(); }
  /// Without end() the calls are given up: an exception is passing.
  ~CallGroup() {
    if (comm_ != nullptr) comm_->abandon_group();
  }
  CallGroup(const CallGroup&) = delete;
  CallGroup& operator=(const CallGroup&) = delete;

  Event end() { return std::exchange(comm_, nullptr)->end_group(); }

 private:
  Communicator* comm_;
};

}  // namespace trireme
