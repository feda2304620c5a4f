// From what the user asked and what this machine is to the exact mpirun command: binding, threads, environment, hosts.
// Pure: nothing is started, nothing is looked up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trireme {

struct LaunchSettings {
  std::int64_t ranks = 1;
  std::string hosts = {};     // "a,b" or "a:4,b:4"
  std::string hostfile = {};  // its path; its text is in LaunchFacts
  std::int64_t threads = 0;   // 0: cores / ranks of a host
  std::string log_folder = {};
  std::string mpirun_options = {};  // passed on, split at spaces
  std::vector<std::string> program = {};
};

struct LaunchFacts {
  std::int64_t cores = 1;  // of this machine that this process may use; other hosts are taken to be alike
  bool root = false;
  std::string wrapper = "trireme";  // this program, as every host finds it
  int terminal_columns = 0;
  std::string hostfile_text = {};
  std::vector<std::pair<std::string, std::string>> environment = {};  // OMP_* and TRIREME_* set by the user
};

struct LaunchPlan {
  std::vector<std::string> command;
  std::vector<std::string> warnings;
  std::int64_t ranks_per_host = 1;
  std::int64_t cores_per_rank = 0;  // bound; 0: not bound
  std::string threads;              // OMP_NUM_THREADS of every rank
};

LaunchPlan plan_launch(const LaunchSettings& settings, const LaunchFacts& facts);

struct HostSlots {
  std::string name;
  std::int64_t slots = 0;  // 0: not said
};
/// Errors: usage for an empty name or a count that is no positive number.
std::vector<HostSlots> read_hosts(const std::string& list);
/// Lines "name slots=N"; '#' begins a comment.
std::vector<HostSlots> read_hostfile(const std::string& text);

/// Physical cores among the processors that this process may use.
std::int64_t usable_cores();

}  // namespace trireme
