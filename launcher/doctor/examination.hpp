// Asks all hosts at once and measures between them. A host that does not answer is a row of the report; no question
// waits longer than its time.
#pragma once

#include <string>
#include <vector>

#include "launcher/doctor/findings.hpp"

namespace trireme {

/// Between which hosts is measured: each and its next one, or all pairs; automatic: all up to 16 hosts.
enum class Links { automatic, all, ring, none };

struct DoctorSettings {
  std::vector<std::string> hosts = {};    // empty: this machine
  std::vector<std::string> folders = {};  // that must have room
  std::string shared_folder = {};
  PortRange ports = {};
  double expected_gigabits = 0;  // 0: what the cards say
  double seconds = 10;           // a host may take so long to answer
  Links links = Links::automatic;
};

struct Examination {
  std::vector<HostReport> hosts;
  std::vector<PairReport> pairs;
};

Examination examine(const DoctorSettings& settings);

}  // namespace trireme
