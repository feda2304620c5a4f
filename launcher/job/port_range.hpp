// A range of TCP ports that a firewall leaves open between hosts: FIRST-LAST, as `trireme launch`, jobs and
// `trireme doctor` take it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace trireme {

struct PortRange {
  std::int64_t first = 0, last = -1;
  std::int64_t count() const { return last - first + 1; }
};

/// "20000-20063"; an empty text is an empty range. Usage error for anything else.
PortRange read_ports(const std::string& text);

/// Open MPI's parameters for it: the ranks' connections (btl) and those of its own processes (oob). None for an empty
/// range.
std::vector<std::pair<std::string, std::string>> mpi_parameters(const PortRange& ports);

}  // namespace trireme
