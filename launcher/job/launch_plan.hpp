// From what the user asked and what this machine is to the exact mpirun or srun command: binding, threads, environment,
// hosts. Pure: nothing is started, nothing is looked up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launcher/job/host_list.hpp"

namespace trireme {

/// What starts the ranks: mpirun, by ssh or inside an allocation of Slurm; or srun, inside one.
enum class RankStarter { mpirun, srun };

struct LaunchSettings {
  std::int64_t ranks = 1;
  std::int64_t ranks_per_node = 0;  // 0: as the hosts say
  std::string hosts = {};           // "a,b" or "a:4,b:4"
  std::string hostfile = {};        // its path; its text is in LaunchFacts
  HostFilter filter = {};
  std::int64_t host_slots = 0;   // ranks that a host holds in all, those of other jobs included; 0: it is this job's
  std::int64_t threads = 0;      // 0: cores / ranks (or slots) of a host
  std::string environment = {};  // names, separated by commas, that reach the ranks without their values being shown
  RankStarter starter = RankStarter::mpirun;
  std::string ports = {};  // FIRST-LAST: the only TCP ports that MPI listens at; empty: any
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
  std::string hostfile = {};        // to be written to log_folder/hostfile before the start; empty: none
};

LaunchPlan plan_launch(const LaunchSettings& settings, const LaunchFacts& facts);

/// Physical cores among the processors that this process may use.
std::int64_t usable_cores();

}  // namespace trireme
