#include "launcher/job/job_plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/base/error.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/job_words.hpp"
#include "launcher/job/launch_command.hpp"

namespace trireme {
namespace {

using CommandWords = std::vector<std::string>;

void add(CommandWords& words, const char* option, const std::string& value) {
  if (!value.empty()) words.push_back(fmt::format("--{}={}", option, value));
}

/// sbatch replaces %j and the like in names of files; a backslash anywhere would switch that off.
std::string as_file_pattern(const std::string& path) {
  if (path.find('\\') != std::string::npos) return path;
  std::string out;
  for (const char c : path) out += c == '%' ? std::string("%%") : std::string(1, c);
  return out;
}

std::int64_t minutes(double seconds) {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(seconds / 60)));
}

void add_hosts(CommandWords& words, const JobDescription& job) {
  const SlotRequest request = job.slot_request(0);
  std::vector<HostSlots> hosts;
  std::int64_t slots = 0;
  for (const std::string& name : place_alone(request)) {
    hosts.push_back({.name = name, .slots = job.ranks_per_node});
    for (const HostSlots& one : request.hosts) slots = one.name == name ? std::max(slots, one.slots) : slots;
  }
  add(words, "hosts", host_list(hosts, job.ranks_per_node));
  // Other jobs may have the rest.
  if (slots > job.ranks_per_node) add(words, "host-slots", fmt::format("{}", slots));
}

}  // namespace

const char* const batch_script =
    "#!/bin/sh\n# The words of the job are arguments; none is part of this text.\nexec \"$@\"\n";

CommandWords launch_words(const JobDescription& job, const JobPlace& place, std::int64_t start) {
  CommandWords words = {"launch", "-n", fmt::format("{}", job.ranks())};
  add(words, "ranks-per-node", fmt::format("{}", job.ranks_per_node));
  add(words, "log-dir", fmt::format("{}/start-{}", place.folder, start));
  // Slurm's warning leaves time to save and some to end.
  const double grace = job.backend == Backend::slurm ? std::max(1.0, job.warning_seconds() * 2 / 3) : 60;
  add(words, "grace", fmt::format("{}", grace));
  add_hosts(words, job);
  if (job.cores_per_rank > 0) add(words, "threads", fmt::format("{}", job.cores_per_rank));
  add(words, "environment", fmt::format("{}", fmt::join(job.variable_names(), ",")));
  if (job.starter == RankStarter::srun) add(words, "starter", "srun");
  add(words, "ports", job.ports);
  add(words, "mpirun-options", job.mpirun_options);
  for (std::string& word : job.limits.words()) words.push_back(std::move(word));
  words.push_back("--");
  for (std::string& word : job.program_words()) words.push_back(std::move(word));
  return words;
}

CommandWords runner_words(const JobPlace& place) { return {place.trireme, "job-run", place.folder}; }

CommandWords sbatch_words(const JobDescription& job, const JobPlace& place, const CommandWords& variables) {
  CommandWords words = {"sbatch", "--parsable", "--requeue", "--open-mode=append"};
  add(words, "job-name", job.name);
  add(words, "chdir", job.directory);
  add(words, "output", as_file_pattern(place.folder + "/runner.log"));
  add(words, "export", variables.empty() ? "NIL" : fmt::format("{}", fmt::join(variables, ",")));
  // To the script alone, which is the runner: it asks the ranks.
  add(words, "signal", fmt::format("B:USR1@{:.0f}", job.warning_seconds()));
  add(words, "nodes", fmt::format("{}", job.nodes));
  add(words, "ntasks-per-node", fmt::format("{}", job.ranks_per_node));
  if (job.cores_per_rank > 0) add(words, "cpus-per-task", fmt::format("{}", job.cores_per_rank));
  if (job.gpus_per_rank > 0) add(words, "gpus-per-node", fmt::format("{}", job.gpus_per_rank * job.ranks_per_node));
  add(words, "mem", job.memory);
  if (job.seconds_allowed() > 0) add(words, "time", fmt::format("{}", minutes(job.seconds_allowed())));
  add(words, "partition", job.partition);
  add(words, "account", job.account);
  add(words, "constraint", job.constraint);
  add(words, "qos", job.qos);
  for (std::string& word : split_words(job.slurm_options, "slurm-options")) words.push_back(std::move(word));
  words.push_back(place.folder + "/batch.sh");
  for (std::string& word : runner_words(place)) words.push_back(std::move(word));
  return words;
}

CommandWords visible_variables(const JobDescription& job, const char* const* environment) {
  constexpr std::string_view usual[] = {"HOME",           "PATH",   "USER",          "LOGNAME",   "SHELL",
                                        "LANG",           "LC_ALL", "LC_CTYPE",      "TZ",        "LD_LIBRARY_PATH",
                                        "XDG_STATE_HOME", "TMPDIR", "SSH_AUTH_SOCK", "KRB5CCNAME"};
  constexpr std::string_view families[] = {"OMP_",  "OMPI_", "PMIX_MCA_", "UCX_",
                                           "NCCL_", "CUDA_", "TRIREME_",  "SLURM_CONF"};
  const CommandWords named = job.variable_names();
  const auto values = job.variable_values();
  CommandWords out;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const std::string name(entry.substr(0, entry.find('=')));
    const bool known = std::ranges::find(usual, name) != std::end(usual) ||
                       std::ranges::any_of(families, [&](std::string_view family) { return name.starts_with(family); });
    const bool asked = std::ranges::find(named, name) != named.end();
    // A value of the description reaches the ranks from there.
    const bool given = std::ranges::any_of(values, [&](const auto& one) { return one.first == name; });
    if (is_variable_name(name) && (known || asked) && !given) out.push_back(name);
  }
  std::ranges::sort(out);
  return out;
}

std::string preview(const JobDescription& job, const JobPlace& place, const CommandWords& variables) {
  const auto words = launch_words(job, place, 1);
  const std::string ranks = shell_quoted(launched_command(std::span(words).subspan(1)));
  const std::string folder = fmt::format("cd {}\n", shell_quoted({job.directory}));
  if (job.backend != Backend::slurm) return folder + ranks + "\n";
  std::string script = batch_script;
  script.pop_back();
  std::string out = fmt::format("# {} is:\n", shell_quoted({place.folder + "/batch.sh"}));
  for (std::size_t begin = 0; begin < script.size();) {
    const std::size_t end = std::min(script.find('\n', begin), script.size());
    out += "#   " + script.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return out + folder + shell_quoted(sbatch_words(job, place, variables)) + "\n# there the job runs:\n# " + ranks +
         "\n";
}

}  // namespace trireme
