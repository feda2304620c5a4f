// The table of commands and the words around them.
#include "launcher/job/commands.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "launcher/doctor/agent.hpp"
#include "launcher/doctor/doctor_command.hpp"
#include "launcher/job/checkpoint_command.hpp"
#include "launcher/job/data_command.hpp"
#include "launcher/job/evaluate_command.hpp"
#include "launcher/job/generate_command.hpp"
#include "launcher/job/job_agent.hpp"
#include "launcher/job/job_commands.hpp"
#include "launcher/job/job_runner.hpp"
#include "launcher/job/launch_command.hpp"
#include "launcher/job/manual.hpp"
#include "launcher/job/plot_command.hpp"
#include "launcher/job/rank_exec.hpp"
#include "launcher/job/version.hpp"
#include "launcher/run/options.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

using CommandWordSpan = std::span<const std::string>;

struct Command {
  const char* name;
  const char* summary;  // empty: not listed
  int (*run)(CommandWordSpan);
};

int help_command(CommandWordSpan args);
int version_command(CommandWordSpan args);
int completion_command(CommandWordSpan args);
int man_command(CommandWordSpan args);

constexpr Command commands[] = {
    {"launch", "start a program on N ranks: trireme launch -n 2 -- PROGRAM ARGS", launch_command},
    {"submit", "start a job that goes on without this terminal: trireme submit JOB.ini", submit_command},
    {"list", "list the submitted jobs", list_command},
    {"status", "say how a job stands", status_command},
    {"logs", "print what a job said", logs_command},
    {"cancel", "ask a job to save and end", cancel_command},
    {"resume", "start a job that ended again", resume_command},
    {"doctor", "look whether this machine, hosts or a Slurm are ready", doctor_command},
    {"data", "import data sets, look into them, check them", data_command},
    {"checkpoint", "list, check, look into, compare, remove, export and import checkpoints", checkpoint_command},
    {"generate", "write on from a prompt with a trained language model", generate_command},
    {"evaluate", "judge a trained classifier or regression", evaluate_command},
    {"predict", "say which class each sample is of, or which number", predict_command},
    {"plot", "draw the training curve of a run folder", plot_command},
    {"help", "say more about a command: trireme help launch", help_command},
    {"version", "list version, features and libraries", version_command},
    {"completion", "print what makes bash complete words: source <(trireme completion bash)", completion_command},
    {"man", "", man_command},
    {"rank-exec", "", rank_exec_command},
    {"job-run", "", job_run_command},
    {"job-agent", "", job_agent_command},
    {"doctor-agent", "", doctor_agent_command},
};

std::string overview() {
  std::string out = "trireme: trains neural networks on one or many machines\n\nUsage: trireme COMMAND [options]\n\n";
  for (const Command& one : commands) {
    if (*one.summary != '\0') out += fmt::format("  {:<11} {}\n", one.name, one.summary);
  }
  return out + "\nEvery command has --help. Example:\n  trireme launch -n 2 -- ./image_classification --epochs 3\n";
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& one : commands) {
    if (name == one.name) return one;
    if (*one.summary != '\0') names.emplace_back(one.name);
  }
  const std::string nearest = nearest_name(name, names);
  fail(ExitCode::usage, "trireme: there is no command '{}'{}; 'trireme help' lists the commands", name,
       nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

bool has_no_options(const Command& command) {
  return command.run == help_command || command.run == version_command || command.run == completion_command ||
         command.run == man_command;
}

int help_command(CommandWordSpan args) {
  if (args.empty()) {
    print_out(overview());
    return 0;
  }
  const Command& command = find_command(args[0]);
  if (has_no_options(command)) {
    print_out(fmt::format("trireme {}: {}\n", command.name, command.summary));
    return 0;
  }
  const std::string ask[] = {"--help"};
  return command.run(CommandWordSpan(ask, 1));
}

int version_command(CommandWordSpan) {
  print_out(version_text());
  return 0;
}

/// The listed commands, each asked for its options.
std::vector<CommandTable> command_tables() {
  std::vector<CommandTable> out;
  const std::string ask[] = {"--help"};
  for (const Command& one : commands) {
    if (*one.summary == '\0') continue;
    OptionTables tables;
    if (!has_no_options(one)) one.run(CommandWordSpan(ask, 1));
    out.push_back({.name = one.name, .summary = one.summary, .programs = tables.tables()});
  }
  return out;
}

int completion_command(CommandWordSpan args) {
  if (args.size() != 1 || args[0] != "bash") {
    fail(ExitCode::usage, "trireme completion: wanted the name of a shell, and knows one: trireme completion bash");
  }
  print_out(bash_completion(command_tables()));
  return 0;
}

int man_command(CommandWordSpan) {
  print_out(manual_page(command_tables(), TRIREME_VERSION));
  return 0;
}

int dispatch(CommandWordSpan args) {
  if (args.empty()) {
    print_out(overview());
    return static_cast<int>(ExitCode::usage);
  }
  if (args[0] == "--help" || args[0] == "-h") return help_command(args.subspan(1));
  if (args[0] == "--version") return version_command({});
  return find_command(args[0]).run(args.subspan(1));
}

}  // namespace

int run_trireme(CommandWordSpan args) {
  ::signal(SIGPIPE, SIG_IGN);
  try {
    return dispatch(args);
  } catch (const Error& error) {
    log::error("{}", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    log::error("trireme: {}", error.what());
    return static_cast<int>(ExitCode::failure);
  }
}

}  // namespace trireme
