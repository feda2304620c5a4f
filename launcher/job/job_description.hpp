// What a job is, as `trireme submit JOB.ini` reads it: program, place, environment, checkpoints, when to start again
// (docs/launching.md). The same grammar and checks as the options of programs; every key is an option of submit, too,
// and the command line is stronger than the file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "launcher/job/job_queue.hpp"
#include "launcher/job/launch_plan.hpp"
#include "launcher/job/restart_policy.hpp"
#include "launcher/job/watchdog.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

/// Who places the ranks. `automatic`: hosts where some are named, else this machine.
enum class Backend { automatic, local, hosts, slurm };

std::string to_text(Backend backend);

struct JobDescription {
  Backend backend = Backend::automatic;
  std::string name = {};       // empty: the program's
  std::string program = {};    // absolute after resolve() where it is a path
  std::string arguments = {};  // words (job_words.hpp)
  std::string directory = {};  // where the ranks start; empty: where submit was called
  std::string container = {};  // words before the program of each rank

  std::int64_t nodes = 1;
  std::int64_t ranks_per_node = 1;
  std::int64_t cores_per_rank = 0;  // 0: cores of a host / its ranks
  std::int64_t gpus_per_rank = 0;
  std::string memory = {};      // of a node, with K, M, G or T
  std::string time_limit = {};  // empty: none, or the site's

  std::string hosts = {}, hostfile = {};
  HostFilter filter = {};
  std::string ports = {};  // FIRST-LAST; empty: any
  std::string mpirun_options = {};

  std::string partition = {}, account = {}, constraint = {}, qos = {};
  RankStarter starter = RankStarter::mpirun;
  std::string warning = "90s";     // before the end of its time or place Slurm tells the job so
  std::string slurm_options = {};  // words for sbatch

  std::string environment = {};  // words NAME or NAME=value

  std::string run_dir = "auto";  // auto: runs/NAME-ID; none: the program is told none
  std::string checkpoint_every = {};
  std::int64_t restarts = 10;
  std::string restart_window = "24h", restart_delay = "10s";
  std::int64_t no_progress = 3;
  std::int64_t min_nodes = 0;    // that the job may go on with after hosts were lost; 0: `nodes`
  std::string host_wait = "1h";  // for hosts that do not answer, where no others are free
  WatchLimits limits = {};

  /// Binds the keys to an option set; it must not outlive this.
  void declare(OptionSet& options);

  std::int64_t ranks() const { return nodes * ranks_per_node; }
  /// Seconds; 0: none.
  double seconds_allowed() const;
  double warning_seconds() const;
  double host_wait_seconds() const;
  RestartRules restart_rules() const;
  /// Names that reach the ranks, and of these the ones whose values the file gives.
  std::vector<std::string> variable_names() const;
  std::vector<std::pair<std::string, std::string>> variable_values() const;
  /// container, program, arguments, --run-dir and --checkpoint-every.
  std::vector<std::string> program_words() const;
  /// What it wants of its hosts; no hosts where it needs none of a list.
  SlotRequest slot_request(std::int64_t id) const;
  /// As the runner finds it whatever its folder; empty where the program is told none.
  std::string run_folder() const;
};

/// Checks what no single key can show, fills in what was left to the launcher (back end, name, absolute paths, hosts of
/// the hostfile) and throws usage errors that name the key, its place, what was found and what is wanted.
/// `options` is the set that read the description.
void resolve(JobDescription& job, const OptionSet& options);

}  // namespace trireme
