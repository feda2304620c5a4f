// Why binding is spelt out: mpirun binds one rank to one core and two ranks to one core each by default, whatever the
// number of threads; a rank must own cores / ranks of them, or none where there are more ranks than cores.
#include "launcher/job/launch_plan.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <initializer_list>
#include <set>
#include <sstream>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "launcher/job/job_words.hpp"
#include "launcher/job/port_range.hpp"

namespace trireme {
namespace {

std::int64_t ranks_on_fullest_host(const std::vector<HostSlots>& hosts, std::int64_t ranks) {
  if (hosts.empty()) return ranks;
  std::int64_t most = ceil_div(ranks, static_cast<std::int64_t>(hosts.size()));
  for (const HostSlots& host : hosts) most = std::max(most, host.slots);
  return std::min(most, ranks);
}

const std::string* value_of(const LaunchFacts& facts, const std::string& name) {
  for (const auto& [variable, value] : facts.environment) {
    if (variable == name) return &value;
  }
  return nullptr;
}

/// Jobs that share a host do not know which cores the others bind: there the kernel divides them.
void choose_cores(const LaunchSettings& settings, const LaunchFacts& facts, LaunchPlan& plan) {
  if (settings.host_slots > plan.ranks_per_host && plan.ranks_per_host <= facts.cores) return;
  if (plan.ranks_per_host <= facts.cores) {
    plan.cores_per_rank = facts.cores / plan.ranks_per_host;
  } else {
    plan.warnings.push_back(fmt::format("{} ranks share the {} cores of a host: they take turns and are slower than {}",
                                        plan.ranks_per_host, facts.cores, facts.cores));
  }
}

void add(std::vector<std::string>& command, std::initializer_list<std::string> words) {
  command.insert(command.end(), words);
}

void choose_threads(const LaunchSettings& settings, const LaunchFacts& facts, LaunchPlan& plan) {
  const std::int64_t share =
      std::max<std::int64_t>(1, facts.cores / std::max(plan.ranks_per_host, settings.host_slots));
  const std::string* set = value_of(facts, "OMP_NUM_THREADS");
  plan.threads = settings.threads > 0 ? fmt::format("{}", settings.threads)
                 : set != nullptr     ? *set
                                      : fmt::format("{}", share);
  std::int64_t threads = 0;
  std::from_chars(plan.threads.data(), plan.threads.data() + plan.threads.size(), threads);
  if (plan.cores_per_rank > 0 && threads > share) {
    plan.warnings.push_back(fmt::format("{} threads per rank on {} bound core(s): they take turns; --threads {} fits",
                                        threads, share, share));
  }
}

std::vector<std::string> names_of(const std::string& list) {
  std::vector<std::string> names;
  std::istringstream parts(list);
  for (std::string name; std::getline(parts, name, ',');) names.push_back(name);
  return names;
}

/// What every rank finds set beside the names of settings.environment.
std::vector<std::pair<std::string, std::string>> variables(const LaunchSettings& settings, const LaunchFacts& facts,
                                                           const LaunchPlan& plan) {
  std::vector<std::pair<std::string, std::string>> all = {{"OMP_NUM_THREADS", plan.threads}};
  // Threads that wait actively take the cores from the communication of their own rank.
  if (value_of(facts, "OMP_WAIT_POLICY") == nullptr) all.emplace_back("OMP_WAIT_POLICY", "PASSIVE");
  all.emplace_back("TRIREME_RANK_LOG_DIR", settings.log_folder);
  all.emplace_back("TRIREME_TERMINAL", fmt::format("{}", facts.terminal_columns));
  const std::vector<std::string> hidden = names_of(settings.environment);
  for (const auto& one : facts.environment) {
    const auto same = [&](const auto& known) { return known.first == one.first; };
    const bool shown = std::find(hidden.begin(), hidden.end(), one.first) == hidden.end();
    if (shown && std::none_of(all.begin(), all.end(), same)) all.push_back(one);
  }
  return all;
}

void add_hosts(const LaunchSettings& settings, const std::vector<HostSlots>& hosts, LaunchPlan& plan) {
  auto& command = plan.command;
  // A host that is lost or cannot be reached is noticed within seconds; without these, within minutes or never.
  add(command, {"--mca", "oob_tcp_keepalive_time", "5", "--mca", "oob_tcp_keepalive_intvl", "2", "--mca",
                "oob_tcp_keepalive_probes", "3"});
  if (hosts.empty()) return;
  if (settings.mpirun_options.find("plm_rsh_a") == std::string::npos) {
    add(command, {"--mca", "plm_rsh_args", "-o BatchMode=yes -o ConnectTimeout=10"});
  }
  // mpirun takes a host without a count for one slot; the user means an even share.
  if (!has_ipv6(hosts)) return add(command, {"--host", host_list(hosts, plan.ranks_per_host)});
  plan.hostfile = hostfile_text(hosts, plan.ranks_per_host);
  add(command, {"--hostfile", settings.log_folder + "/hostfile"});
}

/// Each rank listens at one port, mpirun and its helper on the host at one, too.
PortRange checked_ports(const LaunchSettings& settings, const LaunchPlan& plan) {
  const PortRange ports = read_ports(settings.ports);
  const std::int64_t wanted = plan.ranks_per_host + 2;
  if (ports.count() > 0 && ports.count() < wanted) {
    fail(ExitCode::usage,
         "option 'ports': found {} ports, wanted at least {}: one for each of the {} ranks of a host, and two",
         ports.count(), wanted, plan.ranks_per_host);
  }
  return ports;
}

void compose_mpirun(const LaunchSettings& settings, const LaunchFacts& facts, const std::vector<HostSlots>& hosts,
                    LaunchPlan& plan) {
  auto& command = plan.command;
  command = {"mpirun", "-n", fmt::format("{}", settings.ranks)};
  if (facts.root) command.push_back("--allow-run-as-root");
  if (plan.cores_per_rank > 0) {
    add(command, {"--bind-to", "core", "--map-by", fmt::format("slot:PE={}", plan.cores_per_rank)});
  } else {
    add(command, {"--bind-to", "none", "--oversubscribe"});
  }
  add_hosts(settings, hosts, plan);
  for (const auto& [name, value] : mpi_parameters(checked_ports(settings, plan))) add(command, {"--mca", name, value});
  // A signal passed on by mpirun goes to the wrapper alone, which knows what its program expects (rank_exec.hpp).
  add(command, {"--mca", "odls_base_signal_direct_children_only", "1"});
  // Given one by one: other hosts have this shell's environment only so.
  for (const auto& [name, value] : variables(settings, facts, plan)) add(command, {"-x", name + "=" + value});
  // A name alone: mpirun takes the value from its own environment, and no list of processes shows it.
  for (const std::string& name : names_of(settings.environment)) add(command, {"-x", name});
  std::istringstream words(settings.mpirun_options);
  for (std::string word; words >> word;) command.push_back(word);
  add(command, {facts.wrapper, "rank-exec", "--log-dir", settings.log_folder, "--"});
}

/// srun hands on its whole environment, names of settings.environment included.
void compose_srun(const LaunchSettings& settings, const LaunchFacts& facts, LaunchPlan& plan) {
  auto& command = plan.command;
  command = {"srun",
             "--mpi=pmix",
             "--kill-on-bad-exit=1",
             "--input=none",
             "--export=ALL",
             "--cpu-bind=none",
             "-n",
             fmt::format("{}", settings.ranks)};
  if (settings.ranks_per_node > 0) command.push_back(fmt::format("--ntasks-per-node={}", settings.ranks_per_node));
  if (settings.threads > 0) command.push_back(fmt::format("--cpus-per-task={}", settings.threads));
  std::istringstream words(settings.mpirun_options);
  for (std::string word; words >> word;) command.push_back(word);
  command.push_back("env");
  for (const auto& [name, value] : variables(settings, facts, plan)) command.push_back(name + "=" + value);
  for (const auto& [name, value] : mpi_parameters(checked_ports(settings, plan)))
    command.push_back("OMPI_MCA_" + name + "=" + value);
  // srun cuts lines after 1024 bytes and mixes the ranks' pieces.
  add(command, {facts.wrapper, "rank-exec", "--log-dir", settings.log_folder, "--frame-bytes", "900", "--"});
}

}  // namespace

LaunchPlan plan_launch(const LaunchSettings& settings, const LaunchFacts& facts) {
  LaunchPlan plan;
  std::vector<HostSlots> hosts;
  if (!settings.hosts.empty()) {
    hosts = read_hosts(settings.hosts);
  } else if (!settings.hostfile.empty()) {
    hosts = read_hostfile(facts.hostfile_text, settings.hostfile);
  }
  hosts = filtered(hosts, settings.filter);
  plan.ranks_per_host =
      settings.ranks_per_node > 0 ? settings.ranks_per_node : ranks_on_fullest_host(hosts, settings.ranks);
  choose_cores(settings, facts, plan);
  choose_threads(settings, facts, plan);
  if (settings.starter == RankStarter::mpirun) {
    compose_mpirun(settings, facts, hosts, plan);
  } else {
    compose_srun(settings, facts, plan);
  }
  for (std::string& word : with_hidden_colons(settings.program)) plan.command.push_back(std::move(word));
  return plan;
}

std::int64_t usable_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    // Hardware threads of one core name the same list.
    std::ifstream list(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
    std::string siblings;
    cores.insert(std::getline(list, siblings) ? siblings : fmt::format("cpu{}", cpu));
  }
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(cores.size()));
}

}  // namespace trireme
