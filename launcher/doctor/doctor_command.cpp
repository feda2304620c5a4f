#include "launcher/doctor/doctor_command.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "launcher/doctor/report.hpp"
#include "launcher/doctor/slurm_findings.hpp"
#include "launcher/job/captured.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/host_list.hpp"
#include "launcher/job/job_store.hpp"
#include "launcher/run/options.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr double slurm_seconds = 30;

struct Chosen {
  DoctorSettings settings;
  std::string hosts, hostfile, folders, ports, partition;
  HostFilter filter;
  bool slurm = false, json = false;
};

void declare(OptionSet& options, Chosen& out) {
  DoctorSettings& settings = out.settings;
  options.group("Where")
      .add("hosts", &out.hosts, "these hosts, over ssh: a,b; without hosts: this machine")
      .add("hostfile", &out.hostfile, "file of hosts, a line each: NAME, NAME slots=N or NAME:N")
      .add("include", &out.filter.include, "use only these of the hosts: a,b")
      .add("exclude", &out.filter.exclude, "leave these of the hosts out")
      .add("slurm", &out.slurm, "the Slurm of this site")
      .add("partition", &out.partition, "of Slurm; empty: its default");
  options.group("What")
      .add("folders", &out.folders, "folders that must have room: a,b; empty: ./runs and that of submitted jobs")
      .add("shared-folder", &settings.shared_folder, "a folder that all hosts share: written here, read there")
      .add("ports", &out.ports, "TCP ports that must be open between all hosts: FIRST-LAST")
      .add("expect-gbit", &settings.expected_gigabits, "what a link should give, in Gbit/s; 0: what its cards say",
           {.low = 0, .high = 10000})
      .add("links", &settings.links,
           "measure between all hosts, each and its next one, or none; automatic: all up to 16",
           {{"automatic", Links::automatic}, {"all", Links::all}, {"ring", Links::ring}, {"none", Links::none}})
      .add("seconds", &settings.seconds, "a host may take so long to answer", {.low = 1, .high = 300});
  options.group("Output").add("json", &out.json, "print all facts and findings as JSON");
}

std::vector<std::string> parts_of(const std::string& list) {
  std::vector<std::string> out;
  std::istringstream parts(list);
  for (std::string part; std::getline(parts, part, ',');) {
    if (!part.empty()) out.push_back(part);
  }
  return out;
}

void resolve(Chosen& chosen) {
  DoctorSettings& settings = chosen.settings;
  const bool named = !chosen.hosts.empty() || !chosen.hostfile.empty();
  if (!chosen.hosts.empty() && !chosen.hostfile.empty()) {
    fail(ExitCode::usage, "trireme doctor: --hosts and --hostfile both say where; give one of them");
  }
  if (chosen.slurm && named) fail(ExitCode::usage, "trireme doctor: --slurm asks Slurm; leave the hosts out");
  if (!chosen.partition.empty() && !chosen.slurm) {
    fail(ExitCode::usage, "trireme doctor: --partition is one of Slurm; add --slurm");
  }
  auto hosts = chosen.hostfile.empty()
                   ? read_hosts(chosen.hosts)
                   : read_hostfile(read_file(chosen.hostfile, std::size_t{1} << 20), chosen.hostfile);
  for (const HostSlots& host : filtered(hosts, chosen.filter)) settings.hosts.push_back(host.name);
  settings.ports = read_ports(chosen.ports);
  for (const std::string& folder : parts_of(chosen.folders))
    settings.folders.push_back(fs::absolute(folder).lexically_normal().string());
  if (settings.folders.empty()) settings.folders = {fs::absolute("runs").string(), JobStore::usual_folder()};
  if (!settings.shared_folder.empty()) settings.shared_folder = fs::absolute(settings.shared_folder).string();
}

SlurmAnswer ask(const std::vector<std::string>& command) {
  if (find_program(command[0]).empty()) return {.problem = command[0] + " is not on the PATH"};
  const Captured done = captured(command, slurm_seconds);
  if (done.code == 124) return {.problem = fmt::format("{} did not answer within {} s", command[0], slurm_seconds)};
  // srun writes its list to standard error.
  if (done.code == 0) return {.text = done.output + done.error};
  const std::string said = done.error.empty() ? done.output : done.error;
  return {.problem = said.substr(0, said.find('\n'))};
}

/// Where munged listens, if the site says so in Slurm's configuration.
std::vector<std::string> munge_words(const std::string& config) {
  const std::size_t at = config.find("AuthInfo");
  const std::size_t socket = at == std::string::npos ? at : config.find("socket=", at);
  std::string place;
  if (socket != std::string::npos && socket < config.find('\n', at)) {
    place = config.substr(socket + 7, config.find_first_of(",\n", socket) - socket - 7);
  }
  return {"/bin/sh", "-c", "munge -n ${1:+-S \"$1\"} | unmunge ${1:+-S \"$1\"}", "sh", place};
}

int examine_slurm(const Chosen& chosen) {
  SlurmAnswers answers;
  answers.ping = ask({"scontrol", "ping"});
  Examination out;
  HostReport& slurm = out.hosts.emplace_back(HostReport{.host = "Slurm"});
  if (answers.ping.problem.empty()) {
    answers.config = ask({"scontrol", "show", "config"});
    answers.partitions = ask({"scontrol", "show", "partition", "--oneliner"});
    answers.nodes = ask({"sinfo", "-h", "-o", "%P|%T|%D"});
    answers.mpi = ask({"srun", "--mpi=list"});
    answers.munge = ask(munge_words(answers.config.text));
  }
  slurm.findings = judge_slurm(answers, chosen.partition);
  slurm.reached = slurm.findings.size() > 1;
  if (chosen.json) {
    print_json(to_json(out));
  } else {
    print_out(to_report(out));
  }
  return exit_code_of(out);
}

}  // namespace

int doctor_command(std::span<const std::string> args) {
  Chosen chosen;
  OptionSet options({.name = "trireme doctor",
                     .summary = "looks whether this machine, hosts or a Slurm are ready, and says what to do",
                     .examples = {"trireme doctor", "trireme doctor --hosts a,b,c --shared-folder ~/runs",
                                  "trireme doctor --hostfile hosts --ports 20000-20063 --expect-gbit 100",
                                  "trireme doctor --slurm --partition gpu"},
                     .sources = OptionSources::command_line_only});
  declare(options, chosen);
  if (options.parse({args.begin(), args.end()}) == ParseOutcome::exit_done) return 0;
  resolve(chosen);
  if (chosen.slurm) return examine_slurm(chosen);
  if (!chosen.settings.hosts.empty() && find_program("ssh").empty()) {
    fail(ExitCode::usage, "trireme doctor: ssh is not on the PATH. On Debian: apt-get install openssh-client");
  }
  const Examination out = examine(chosen.settings);
  if (chosen.json) {
    print_json(to_json(out));
  } else {
    print_out(to_report(out));
  }
  return exit_code_of(out);
}

}  // namespace trireme
