#include "launcher/job/job_description.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <regex>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/job_words.hpp"
#include "launcher/job/port_range.hpp"
#include "launcher/run/checkpoint_options.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// "option 'nodes' (job.ini:3)".
std::string where(const OptionSet& options, const std::string& key) {
  for (const ResolvedOption& one : options.resolved()) {
    if (one.name == key) return fmt::format("option '{}' ({})", key, one.origin);
  }
  return fmt::format("option '{}'", key);
}

void refuse_control_characters(const OptionSet& options) {
  for (const ResolvedOption& one : options.resolved()) {
    if (!has_control_characters(one.value)) continue;
    fail(ExitCode::usage, "option '{}' ({}): found '{}', wanted no control characters (line ends, tabs, escapes)",
         one.name, one.origin, harmless(one.value));
  }
}

void resolve_program(JobDescription& job, const OptionSet& options) {
  if (job.program.empty()) fail(ExitCode::usage, "a job needs the key 'program': program = ./image_classification");
  if (job.directory.empty()) job.directory = fs::current_path().string();
  job.directory = fs::absolute(job.directory).lexically_normal().string();
  if (!fs::is_directory(job.directory)) {
    fail(ExitCode::usage, "{}: there is no folder '{}'", where(options, "directory"), harmless(job.directory));
  }
  if (job.program.find('/') != std::string::npos) {
    job.program = (fs::path(job.directory) / job.program).lexically_normal().string();
  }
  // Inside a container the program may lie where this host sees nothing.
  const auto container = split_words(job.container, where(options, "container"));
  const std::string& first = container.empty() ? job.program : container.front();
  if (find_program(first).empty()) {
    fail(ExitCode::usage, "{}: cannot find '{}' (or it is not executable); relative paths begin at the job's directory",
         where(options, container.empty() ? "program" : "container"), harmless(first));
  }
  if (job.name.empty()) job.name = fs::path(job.program).filename().string();
  if (job.name.find('/') != std::string::npos || job.name.size() > 100) {
    fail(ExitCode::usage, "{}: found '{}', wanted at most 100 bytes without '/'", where(options, "name"),
         harmless(job.name));
  }
}

void resolve_run_folder(JobDescription& job, const OptionSet& options) {
  for (const std::string& word : split_words(job.arguments, where(options, "arguments"))) {
    if (word != "--run-dir" && !word.starts_with("--run-dir=")) continue;
    fail(ExitCode::usage, "{}: say the run's folder by the key run-dir, so that the job can be followed and resumed",
         where(options, "arguments"));
  }
  if (job.run_dir.empty()) fail(ExitCode::usage, "{}: wanted a folder, auto or none", where(options, "run-dir"));
  if (job.run_dir != "auto" && job.run_dir != "none") {
    job.run_dir = (fs::path(job.directory) / job.run_dir).lexically_normal().string();
  }
  if (!job.checkpoint_every.empty()) SaveInterval::parse(job.checkpoint_every);
}

/// All hosts that have room. One without a number of slots is taken whole: it has as many as the job puts ranks there.
void resolve_hosts(JobDescription& job, const OptionSet& options) {
  if (!job.hosts.empty() && !job.hostfile.empty()) {
    fail(ExitCode::usage, "{}: 'hosts' says where, too; give one of them", where(options, "hostfile"));
  }
  std::vector<HostSlots> hosts = read_hosts(job.hosts);
  if (!job.hostfile.empty()) {
    const std::string path = (fs::path(job.directory) / job.hostfile).string();
    hosts = read_hostfile(read_file(path, std::size_t{1} << 20), path);
  }
  hosts = filtered(hosts, job.filter);
  const std::size_t named = hosts.size();
  std::erase_if(hosts, [&](const HostSlots& one) { return one.slots != 0 && one.slots < job.ranks_per_node; });
  if (static_cast<std::int64_t>(hosts.size()) < job.nodes) {
    fail(ExitCode::usage, "{}: {} of the {} hosts have room for {} ranks, wanted {} hosts", where(options, "nodes"),
         hosts.size(), named, job.ranks_per_node, job.nodes);
  }
  job.hosts = host_list(hosts, job.ranks_per_node);
  job.hostfile.clear();
  job.filter = {};
}

void resolve_backend(JobDescription& job, const OptionSet& options) {
  const bool placed = !job.hosts.empty() || !job.hostfile.empty();
  if (job.backend == Backend::automatic) job.backend = placed ? Backend::hosts : Backend::local;
  if (job.backend == Backend::hosts) {
    if (!placed) fail(ExitCode::usage, "{}: wanted 'hosts' or 'hostfile', too", where(options, "backend"));
    resolve_hosts(job, options);
  } else if (placed) {
    fail(ExitCode::usage, "{}: {} places the ranks by itself; leave hosts and hostfile out", where(options, "backend"),
         to_text(job.backend));
  }
  if (job.backend == Backend::local && job.nodes != 1) {
    fail(ExitCode::usage, "{}: found {}, but this machine is one; name hosts, or use --backend slurm",
         where(options, "nodes"), job.nodes);
  }
  if (job.starter == RankStarter::srun && job.backend != Backend::slurm) {
    fail(ExitCode::usage, "{}: srun starts ranks only with --backend slurm", where(options, "starter"));
  }
}

void check_texts(const JobDescription& job, const OptionSet& options) {
  static const std::regex memory_form("[1-9][0-9]{0,8}[KMGT]?");
  if (!job.memory.empty() && !std::regex_match(job.memory, memory_form)) {
    fail(ExitCode::usage, "{}: found '{}', wanted a size such as 16G", where(options, "memory"), harmless(job.memory));
  }
  for (const std::string& word : split_words(job.environment, where(options, "environment"))) {
    const std::string name = word.substr(0, word.find('='));
    if (is_variable_name(name)) continue;
    fail(ExitCode::usage, "{}: found the variable '{}', wanted NAME or NAME=value", where(options, "environment"),
         harmless(name));
  }
  read_ports(job.ports);
  split_words(job.slurm_options, where(options, "slurm-options"));
  job.seconds_allowed();
  job.warning_seconds();
  job.restart_rules();
  job.host_wait_seconds();
}

}  // namespace

std::string to_text(Backend backend) {
  switch (backend) {
    case Backend::local:
      return "local";
    case Backend::hosts:
      return "hosts";
    case Backend::slurm:
      return "slurm";
    default:
      return "automatic";
  }
}

void JobDescription::declare(OptionSet& options) {
  options.group("Job")
      .add("backend", &backend, "who places the ranks; automatic: hosts where some are named, else this machine",
           {{"automatic", Backend::automatic},
            {"local", Backend::local},
            {"hosts", Backend::hosts},
            {"slurm", Backend::slurm}})
      .add("name", &name, "of the job; empty: the program's")
      .add("program", &program, "what every rank runs")
      .add("arguments", &arguments, "its arguments: words, 'quoted' or \"quoted\" where they hold spaces")
      .add("directory", &directory, "where it starts; empty: where submit was called")
      .add("container", &container, "words before the program: apptainer exec --nv image.sif");
  options.group("Resources")
      .add("nodes", &nodes, "hosts", {.low = 1, .high = 65536})
      .add("ranks-per-node", &ranks_per_node, "ranks of each host", {.low = 1, .high = 4096})
      .add("cores-per-rank", &cores_per_rank, "0: cores of a host / its ranks", {.low = 0, .high = 4096})
      .add("gpus-per-rank", &gpus_per_rank, "asked of Slurm", {.low = 0, .high = 64})
      .add("memory", &memory, "of a node, asked of Slurm: 16G; empty: as the site has it")
      .add("time-limit", &time_limit, "of the whole job (Slurm: of each start): 90m, 2h; empty: none");
  options.group("Hosts")
      .add("hosts", &hosts, "a,b or a:4,b:4 (slots)")
      .add("hostfile", &hostfile, "file of hosts, a line each: NAME, NAME slots=N or NAME:N")
      .add("include", &filter.include, "use only these of the hosts: a,b")
      .add("exclude", &filter.exclude, "leave these of the hosts out")
      .add("ports", &ports, "the only TCP ports MPI listens at: FIRST-LAST; empty: any")
      .add("mpirun-options", &mpirun_options, "more words for mpirun (or srun), split at spaces");
  options.group("Slurm")
      .add("partition", &partition, "sbatch --partition")
      .add("account", &account, "sbatch --account")
      .add("constraint", &constraint, "sbatch --constraint")
      .add("qos", &qos, "sbatch --qos")
      .add("starter", &starter, "what starts the ranks", {{"mpirun", RankStarter::mpirun}, {"srun", RankStarter::srun}})
      .add("warning", &warning, "how long before the end of its time Slurm tells the job to save")
      .add("slurm-options", &slurm_options, "more words for sbatch, quoted like arguments");
  options.group("Environment").add("environment", &environment, "variables for the ranks: words NAME or NAME=value");
  options.group("Checkpoints")
      .add("run-dir", &run_dir, "given to the program as --run-dir; auto: runs/NAME-ID; none: not given")
      .add("checkpoint-every", &checkpoint_every, "given to the program; empty: not given");
  options.group("Restart")
      .add("restarts", &restarts, "most starts after failures within restart-window; 0: none",
           {.low = 0, .high = 100000})
      .add("restart-window", &restart_window, "time in which restarts are counted")
      .add("restart-delay", &restart_delay, "before the first restart; doubled while there is no progress, up to 10m")
      .add("no-progress", &no_progress, "starts in a row without a new checkpoint after which the job is given up",
           {.low = 1, .high = 1000})
      .add("min-nodes", &min_nodes, "hosts with which the job may go on where others were lost; 0: nodes",
           {.low = 0, .high = 65536})
      .add("host-wait", &host_wait, "time for hosts that do not answer, if no others are free; 0: not asked");
  limits.declare(options.group("Watchdog"));
}

double JobDescription::seconds_allowed() const {
  return time_limit.empty() ? 0 : parse_duration(time_limit, "time-limit");
}

double JobDescription::warning_seconds() const { return parse_duration(warning, "warning"); }

double JobDescription::host_wait_seconds() const {
  return host_wait == "0" ? 0 : parse_duration(host_wait, "host-wait");
}

RestartRules JobDescription::restart_rules() const {
  return {.restarts = restarts,
          .window_seconds = parse_duration(restart_window, "restart-window"),
          .first_delay = parse_duration(restart_delay, "restart-delay"),
          .no_progress = no_progress};
}

std::vector<std::string> JobDescription::variable_names() const {
  std::vector<std::string> names;
  for (const std::string& word : split_words(environment, "environment"))
    names.push_back(word.substr(0, word.find('=')));
  return names;
}

std::vector<std::pair<std::string, std::string>> JobDescription::variable_values() const {
  std::vector<std::pair<std::string, std::string>> values;
  for (const std::string& word : split_words(environment, "environment")) {
    const std::size_t equals = word.find('=');
    if (equals != std::string::npos) values.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return values;
}

std::vector<std::string> JobDescription::program_words() const {
  std::vector<std::string> words = split_words(container, "container");
  words.push_back(program);
  for (std::string& word : split_words(arguments, "arguments")) words.push_back(std::move(word));
  if (!run_folder().empty()) words.insert(words.end(), {"--run-dir", run_folder()});
  if (!checkpoint_every.empty()) words.insert(words.end(), {"--checkpoint-every", checkpoint_every});
  return words;
}

SlotRequest JobDescription::slot_request(std::int64_t id) const {
  return {.job = id,
          .hosts = backend == Backend::hosts ? read_hosts(hosts) : std::vector<HostSlots>{},
          .nodes = nodes,
          .ranks_per_node = ranks_per_node,
          .seconds = seconds_allowed()};
}

std::string JobDescription::run_folder() const { return run_dir == "none" ? "" : run_dir; }

void resolve(JobDescription& job, const OptionSet& options) {
  refuse_control_characters(options);
  resolve_program(job, options);
  check_texts(job, options);
  resolve_run_folder(job, options);
  resolve_backend(job, options);
  if (job.min_nodes == 0) job.min_nodes = job.nodes;
  if (job.min_nodes > job.nodes) {
    fail(ExitCode::usage, "{}: found {}, wanted at most the {} of 'nodes'", where(options, "min-nodes"), job.min_nodes,
         job.nodes);
  }
}

}  // namespace trireme
