#include "launcher/job/sub_commands.hpp"

#include <fmt/ranges.h>

#include "core/base/error.hpp"
#include "launcher/run/option_tables.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

/// "import, info or verify".
std::string listed(const std::vector<std::string>& names, const char* last_joint) {
  if (names.size() < 2) return fmt::format("{}", fmt::join(names, ""));
  return fmt::format("{} {} {}", fmt::join(names.begin(), names.end() - 1, ", "), last_joint, names.back());
}

std::string overview(const SubCommands& group) {
  std::string out = fmt::format("{}: {}\n\n", group.name, group.summary);
  for (const SubCommand& one : group.commands)
    out += fmt::format("  {} {:<15} {}\n", group.name, one.name, one.summary);
  return out + "\nEach of them has --help.\n";
}

ProgramText on_command_line(ProgramText text) {
  text.sources = OptionSources::command_line_only;
  return text;
}

}  // namespace

int run_sub_command(const SubCommands& group, std::span<const std::string> args) {
  if (OptionTables::current() != nullptr) {
    for (const SubCommand& one : group.commands) one.run(args);
    return 0;
  }
  std::vector<std::string> names;
  for (const SubCommand& one : group.commands) names.emplace_back(one.name);
  if (args.empty()) fail(ExitCode::usage, "{} wants {}; see {} --help", group.name, listed(names, "or"), group.name);
  const std::string& asked = args.front();
  if (asked == "--help" || asked == "-h") {
    print_out(overview(group));
    return 0;
  }
  for (const SubCommand& one : group.commands) {
    if (asked == one.name) return one.run(args.subspan(1));
  }
  const std::string nearest = nearest_name(asked, names);
  fail(ExitCode::usage, "{} has no '{}'; it has {}{}", group.name, asked, listed(names, "and"),
       nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

CommandLine::CommandLine(ProgramText text, Operands operands)
    : name_(text.name), operands_(std::move(operands)), set_(on_command_line(std::move(text))) {
  if (operands_.count > 0) set_.positional(operands_.words, &found_, operands_.description);
}

std::optional<std::vector<std::string>> CommandLine::parse(std::span<const std::string> args) {
  if (set_.parse({args.begin(), args.end()}) == ParseOutcome::exit_done) return std::nullopt;
  const bool more = operands_.more == Operands::More::taken;
  if (more ? found_.size() < operands_.count : found_.size() != operands_.count) {
    fail(ExitCode::usage, "{} takes {}{} argument{} without --, {}; found {}; see {} --help", name_,
         more ? "at least " : "", operands_.count, operands_.count == 1 ? "" : "s", operands_.words,
         found_.empty() ? "none" : fmt::format("{}: {}", found_.size(), fmt::join(found_, " ")), name_);
  }
  return found_;
}

}  // namespace trireme
