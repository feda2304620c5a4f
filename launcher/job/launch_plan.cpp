// Why binding is spelt out: mpirun binds one rank to one core and two ranks to one core each by default, whatever the
// number of threads; a rank must own cores / ranks of them, or none where there are more ranks than cores.
#include "launcher/job/launch_plan.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {
namespace {

std::int64_t slots_of(const std::string& text, const std::string& host) {
  std::int64_t slots = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), slots);
  if (error != std::errc{} || end != text.data() + text.size() || slots < 1) {
    fail(ExitCode::usage, "host '{}': found '{}' slots, wanted a whole number of at least 1", host, text);
  }
  return slots;
}

std::int64_t ranks_on_fullest_host(const std::vector<HostSlots>& hosts, std::int64_t ranks) {
  if (hosts.empty()) return ranks;
  std::int64_t most = ceil_div(ranks, static_cast<std::int64_t>(hosts.size()));
  for (const HostSlots& host : hosts) most = std::max(most, host.slots);
  return std::min(most, ranks);
}

/// mpirun takes a host without a count for one slot; the user means an even share.
std::string host_list(const std::vector<HostSlots>& hosts, std::int64_t share) {
  std::string out;
  for (const HostSlots& host : hosts) {
    out += fmt::format("{}{}:{}", out.empty() ? "" : ",", host.name, host.slots > 0 ? host.slots : share);
  }
  return out;
}

const std::string* value_of(const LaunchFacts& facts, const std::string& name) {
  for (const auto& [variable, value] : facts.environment) {
    if (variable == name) return &value;
  }
  return nullptr;
}

void add_binding(const LaunchFacts& facts, LaunchPlan& plan) {
  auto& command = plan.command;
  if (plan.ranks_per_host <= facts.cores) {
    plan.cores_per_rank = facts.cores / plan.ranks_per_host;
    const std::string place = fmt::format("slot:PE={}", plan.cores_per_rank);
    command.insert(command.end(), {"--bind-to", "core", "--map-by", place});
  } else {
    command.insert(command.end(), {"--bind-to", "none", "--oversubscribe"});
    plan.warnings.push_back(fmt::format("{} ranks share the {} cores of a host: they take turns and are slower than {}",
                                        plan.ranks_per_host, facts.cores, facts.cores));
  }
}

void choose_threads(const LaunchSettings& settings, const LaunchFacts& facts, LaunchPlan& plan) {
  const std::int64_t share = std::max<std::int64_t>(1, plan.cores_per_rank);
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

void add_environment(const LaunchFacts& facts, LaunchPlan& plan, const std::string& log_folder) {
  std::vector<std::pair<std::string, std::string>> all = {{"OMP_NUM_THREADS", plan.threads}};
  // Threads that wait actively take the cores from the communication of their own rank.
  if (value_of(facts, "OMP_WAIT_POLICY") == nullptr) all.emplace_back("OMP_WAIT_POLICY", "PASSIVE");
  all.emplace_back("TRIREME_RANK_LOG_DIR", log_folder);
  all.emplace_back("TRIREME_TERMINAL", fmt::format("{}", facts.terminal_columns));
  for (const auto& one : facts.environment) {
    const auto same = [&](const auto& known) { return known.first == one.first; };
    if (std::none_of(all.begin(), all.end(), same)) all.push_back(one);
  }
  // Given one by one: other hosts have this shell's environment only so.
  for (const auto& [name, value] : all) plan.command.insert(plan.command.end(), {"-x", name + "=" + value});
}

}  // namespace

std::vector<HostSlots> read_hosts(const std::string& list) {
  std::vector<HostSlots> hosts;
  std::istringstream parts(list);
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t colon = part.find(':');
    const std::string name = part.substr(0, colon);
    if (name.empty()) fail(ExitCode::usage, "--hosts '{}': found an empty name, wanted NAME or NAME:SLOTS", list);
    hosts.push_back({name, colon == std::string::npos ? 0 : slots_of(part.substr(colon + 1), name)});
  }
  return hosts;
}

std::vector<HostSlots> read_hostfile(const std::string& text) {
  std::vector<HostSlots> hosts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    HostSlots host;
    if (!(words >> host.name)) continue;
    for (std::string word; words >> word;) {
      if (word.starts_with("slots=")) host.slots = slots_of(word.substr(6), host.name);
    }
    hosts.push_back(host);
  }
  return hosts;
}

LaunchPlan plan_launch(const LaunchSettings& settings, const LaunchFacts& facts) {
  LaunchPlan plan;
  const auto hosts = settings.hosts.empty() ? read_hostfile(facts.hostfile_text) : read_hosts(settings.hosts);
  plan.ranks_per_host = ranks_on_fullest_host(hosts, settings.ranks);
  auto& command = plan.command;
  command = {"mpirun", "-n", fmt::format("{}", settings.ranks)};
  if (facts.root) command.push_back("--allow-run-as-root");
  if (!settings.hosts.empty()) {
    command.insert(command.end(), {"--host", host_list(hosts, plan.ranks_per_host)});
  } else if (!settings.hostfile.empty()) {
    command.insert(command.end(), {"--hostfile", settings.hostfile});
  }
  add_binding(facts, plan);
  // A signal passed on by mpirun goes to the wrapper alone, which knows what its program expects (rank_exec.hpp).
  command.insert(command.end(), {"--mca", "odls_base_signal_direct_children_only", "1"});
  choose_threads(settings, facts, plan);
  add_environment(facts, plan, settings.log_folder);
  std::istringstream words(settings.mpirun_options);
  for (std::string word; words >> word;) command.push_back(word);
  command.insert(command.end(), {facts.wrapper, "rank-exec", "--log-dir", settings.log_folder, "--"});
  command.insert(command.end(), settings.program.begin(), settings.program.end());
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
