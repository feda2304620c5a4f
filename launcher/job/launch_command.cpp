// Reads the options, looks at the machine, checks what can be checked before mpirun starts, and hands over to the
// supervision of the running job.
#include "launcher/job/launch_command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/io/file.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/launch_plan.hpp"
#include "launcher/job/supervise.hpp"
#include "launcher/run/metrics.hpp"
#include "launcher/run/options.hpp"

extern char** environ;

namespace trireme {
namespace {

struct LaunchOptions {
  LaunchSettings settings;
  bool dry_run = false;
  double timeout = 0, grace = 60;
  WatchLimits limits = {};
};

void declare(OptionSet& options, LaunchOptions& out) {
  LaunchSettings& settings = out.settings;
  options.group("Placement")
      .add("ranks,n", &settings.ranks, "processes to start", {.low = 1, .high = 65536})
      .add("hosts", &settings.hosts, "hosts to start them on: a,b or a:4,b:4 (ranks per host)")
      .add("hostfile", &settings.hostfile, "file of hosts, a line each: NAME, NAME slots=N or NAME:N")
      .add("include", &settings.filter.include, "use only these of the hosts: a,b")
      .add("exclude", &settings.filter.exclude, "leave these of the hosts out")
      .add("ranks-per-node", &settings.ranks_per_node, "of every host; 0: as the hosts say", {.low = 0, .high = 65536})
      .add("host-slots", &settings.host_slots, "ranks of a host, those of other jobs included; 0: there are none",
           {.low = 0, .high = 65536})
      .add("threads", &settings.threads, "threads per rank; 0: cores of a host / its ranks", {.low = 0, .high = 4096})
      .add("environment", &settings.environment, "further variables for every rank: names, separated by commas")
      .add("ports", &settings.ports, "the only TCP ports MPI listens at: FIRST-LAST; empty: any")
      .add("starter", &settings.starter, "mpirun, or srun inside an allocation of Slurm",
           {{"mpirun", RankStarter::mpirun}, {"srun", RankStarter::srun}})
      .add("mpirun-options", &settings.mpirun_options, "more words for mpirun (or srun), split at spaces");
  options.group("Output")
      .add("dry-run", &out.dry_run, "print the mpirun command and start nothing")
      .add("log-dir", &settings.log_folder, "folder of rank-N.log; empty: runs/logs/DATE-TIME-PID")
      .add("timeout", &out.timeout, "end the job after so many seconds; 0: never", {.low = 0})
      .add("grace", &out.grace, "seconds to save and end when stopped or out of time; 0: none", {.low = 0});
  out.limits.declare(options.group("Watchdog"));
}

std::string default_log_folder() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
  return fmt::format("runs/logs/{}-{}", std::string_view(text, size), ::getpid());
}

LaunchFacts look_around(const LaunchSettings& settings) {
  LaunchFacts facts{
      .cores = usable_cores(), .root = ::geteuid() == 0, .terminal_columns = terminal_columns(STDOUT_FILENO)};
  facts.wrapper = std::filesystem::read_symlink("/proc/self/exe").string();
  if (!settings.hostfile.empty()) facts.hostfile_text = read_file(settings.hostfile);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("OMP_") && !text.starts_with("TRIREME_")) continue;
    const std::size_t equals = text.find('=');
    facts.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return facts;
}

void check(const LaunchSettings& settings) {
  if (settings.program.empty()) {
    fail(ExitCode::usage,
         "trireme launch: no program; write it behind two dashes: trireme launch -n 2 -- PROGRAM ARGS");
  }
  if (!settings.hosts.empty() && !settings.hostfile.empty()) {
    fail(ExitCode::usage, "trireme launch: --hosts and --hostfile both say where to start; give one of them");
  }
  if (settings.starter == RankStarter::srun && !(settings.hosts.empty() && settings.hostfile.empty())) {
    fail(ExitCode::usage, "trireme launch: srun starts ranks where Slurm says; leave --hosts and --hostfile out");
  }
  if (find_program(settings.program[0]).empty()) {
    fail(ExitCode::usage, "trireme launch: cannot find the program '{}' (or it is not executable); {}",
         settings.program[0],
         settings.program[0].find('/') == std::string::npos ? "give its path, as in ./NAME" : "check the path");
  }
}

/// What was asked, looked up, checked and planned; nothing where --help was asked for and is printed.
struct Prepared {
  LaunchOptions chosen;
  LaunchFacts facts;
  LaunchPlan plan;
};

std::optional<Prepared> prepare(std::span<const std::string> args) {
  auto [before, program] = split_at_dashes({args.begin(), args.end()});
  Prepared out;
  LaunchOptions& chosen = out.chosen;
  OptionSet options(
      {.name = "trireme launch",
       .summary = "starts a program on N ranks through mpirun: trireme launch -n N [options] -- PROGRAM ARGS",
       .examples = {"trireme launch -n 2 -- ./image_classification --epochs 3",
                    "trireme launch -n 8 --hosts a:4,b:4 --dry-run -- ./train"},
       .sources = OptionSources::command_line_only});
  declare(options, chosen);
  std::vector<std::string> stray;
  options.positional("-- PROGRAM ARGS", &stray, "what every rank runs");
  if (options.parse(before) == ParseOutcome::exit_done) return std::nullopt;
  LaunchSettings& settings = chosen.settings;
  settings.program = std::move(program);
  if (!stray.empty()) {
    fail(ExitCode::usage,
         "trireme launch: found '{}' before the two dashes; write: trireme launch [options] -- PROGRAM", stray[0]);
  }
  check(settings);
  if (settings.log_folder.empty()) settings.log_folder = default_log_folder();
  settings.log_folder = std::filesystem::absolute(settings.log_folder).lexically_normal().string();
  out.facts = look_around(settings);
  out.plan = plan_launch(settings, out.facts);
  return out;
}

}  // namespace

std::vector<std::string> launched_command(std::span<const std::string> args) {
  const auto prepared = prepare(args);
  return prepared ? prepared->plan.command : std::vector<std::string>{};
}

int launch_command(std::span<const std::string> args) {
  const auto prepared = prepare(args);
  if (!prepared) return 0;
  const auto& [chosen, facts, plan] = *prepared;
  for (const std::string& warning : plan.warnings) log::warning("trireme launch: {}", warning);
  if (chosen.dry_run) {
    std::puts(shell_quoted(plan.command).c_str());
    return 0;
  }
  if (find_program(plan.command[0]).empty()) {
    fail(ExitCode::usage, "trireme launch: {} is not on the PATH. On Debian: apt-get install {}", plan.command[0],
         plan.command[0] == "mpirun" ? "openmpi-bin" : "slurm-client");
  }
  return supervise({.command = plan.command,
                    .ranks = static_cast<int>(chosen.settings.ranks),
                    .log_folder = chosen.settings.log_folder,
                    .hostfile = plan.hostfile,
                    .timeout_seconds = chosen.timeout,
                    .grace_seconds = chosen.grace,
                    .terminal_columns = facts.terminal_columns,
                    .limits = chosen.limits});
}

}  // namespace trireme
