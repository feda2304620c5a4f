// The two ends of a measurement between hosts: one listens, the other connects to it and times what comes back. Whoever
// does not begin with the token is not answered, so a port on which somebody else listens is not taken for an open one.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "core/io/descriptor.hpp"

namespace trireme {

class PeerServer {
 public:
  /// Listens at `ports`, or at any one where the list is empty, until it is destroyed.
  PeerServer(const std::string& token, const std::vector<std::int64_t>& ports);
  ~PeerServer();
  PeerServer(const PeerServer&) = delete;
  PeerServer& operator=(const PeerServer&) = delete;

  const std::vector<std::int64_t>& open() const { return open_; }
  const std::vector<std::int64_t>& taken() const { return taken_; }

 private:
  void accept_all();

  std::string token_;
  std::vector<Descriptor> listeners_;
  std::vector<std::int64_t> open_, taken_;
  std::atomic<bool> ending_ = false;
  std::jthread accepting_;
};

struct PeerQuestion {
  std::string token;
  std::vector<std::string> names;   // ways to the other host, the first that answers is taken
  std::vector<std::int64_t> ports;  // each is tried; the rest is measured through the first that is open
  double seconds = 0;               // of sending; 0: only the round trips are timed
  std::int64_t streams = 1;         // that send at once
};

struct PeerAnswer {
  std::string name = {};                   // that answered
  std::string local = {};                  // address of this side
  double round_trip = 0;                   // seconds; the median of many
  double gigabits = 0;                     // per second
  std::vector<std::int64_t> blocked = {};  // ports behind which nobody answered
  std::string problem = {};                // of the last port that did not
};

PeerAnswer ask_peer(const PeerQuestion& question);

}  // namespace trireme
