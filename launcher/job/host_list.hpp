// Lists of hosts as people write them for Open MPI and DeepSpeed: `a:4,b:4` on a command line, and hostfiles with a
// host a line. IPv6 addresses stand in brackets where a count may follow a colon. All mistakes are usage errors that
// name the place.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

struct HostSlots {
  std::string name;        // an IPv6 address without its brackets
  std::int64_t slots = 0;  // 0: not said
};

/// "a,b" or "a:4,[fe80::1]:2".
std::vector<HostSlots> read_hosts(const std::string& list);

/// Lines `name`, `name slots=N [max_slots=M]` or `name:N`; '#' begins a comment. A name that stands on several lines
/// has a slot for each, and no other count. `path` is for messages, as FILE:LINE.
std::vector<HostSlots> read_hostfile(const std::string& text, const std::string& path);

/// Which hosts of a list are used, as names separated by ',' or '@'; empty: all of them, and none left out.
struct HostFilter {
  std::string include = {}, exclude = {};
};
/// In the order of `hosts`. A name that the list does not hold, and a list that becomes empty, are mistakes.
std::vector<HostSlots> filtered(const std::vector<HostSlots>& hosts, const HostFilter& filter);

/// "a:4,b:4" as mpirun's --host takes it; `share` where a host says no count.
std::string host_list(const std::vector<HostSlots>& hosts, std::int64_t share);
/// The same as lines of mpirun's --hostfile, which alone takes IPv6 addresses.
std::string hostfile_text(const std::vector<HostSlots>& hosts, std::int64_t share);
bool has_ipv6(const std::vector<HostSlots>& hosts);

}  // namespace trireme
