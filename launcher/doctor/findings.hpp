// What the doctor thinks of the facts: a verdict for each check, what was found, and what to do about it. Pure: nothing
// is asked or measured here.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/doctor/clock_skew.hpp"
#include "launcher/doctor/facts.hpp"
#include "launcher/job/port_range.hpp"

namespace trireme {

enum class Grade { ok, warning, fault };
std::string to_text(Grade verdict);

struct Finding {
  std::string check;
  Grade verdict = Grade::ok;
  std::string found;
  std::string remedy = {};  // empty where all is well
};

struct HostReport {
  std::string host;     // as it was asked for
  bool reached = true;  // false: ssh did not get there
  std::optional<MachineFacts> facts = {};
  std::vector<Finding> findings = {};
  Grade verdict() const;
};

/// From one host to another.
struct PairReport {
  std::string from, to;
  double round_trip = 0;                   // seconds
  double gigabits = -1;                    // per second; negative: not measured
  double expected = 0;                     // what the link should give; 0: nobody says
  std::string local = {};                  // the sender's address
  std::vector<std::int64_t> blocked = {};  // ports
  std::string problem = {};                // why nothing came through
  Grade speed = Grade::ok;                 // of its rate alone
  Grade verdict = Grade::ok;
};

/// Why a host did not answer; `code` is that of ssh, -1 where it was given up.
Finding judge_silence(const HostReport& host, const std::string& problem, int code, const std::string& program);
/// Whether it was the way there that failed (exit code 12), and not what is installed there.
bool is_unreachable(const std::string& problem, int code);

/// Memory, limits, folders, names and cards of one machine.
std::vector<Finding> judge_machine(const MachineFacts& facts);
/// Programs, libraries, cores and GPUs against the machine from which jobs are started.
std::vector<Finding> judge_sameness(const MachineFacts& facts, const MachineFacts& reference);
Finding judge_clock(const std::optional<ClockSkew>& skew);

/// What the cards at both ends say their link gives, in Gbit/s: the slower of the two; 0 where one does not say.
double expected_gigabits(const MachineFacts& from, const std::string& local, const MachineFacts& to,
                         const std::string& remote);
/// Sets the verdicts of the pairs (slower than half of what is expected, or than half of the others' median), and adds
/// to each host what it has to do with the bad ones. `ports` is the range asked for.
void judge_links(std::vector<PairReport>& pairs, std::vector<HostReport>& hosts, const PortRange& ports);
/// Networks of bridges and the like that several hosts have, each for itself, and cards of unlike packet sizes.
void judge_networks(std::vector<HostReport>& hosts);

}  // namespace trireme
