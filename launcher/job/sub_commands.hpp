// Commands that have commands behind them (`trireme data info`): which one is meant, their overview, and the words
// without a name that each of them takes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "launcher/run/options.hpp"

namespace trireme {

struct SubCommand {
  const char* name;
  const char* summary;
  int (*run)(std::span<const std::string>);
};

struct SubCommands {
  std::string name;  ///< As it is typed: "trireme data".
  std::string summary;
  std::vector<SubCommand> commands;
};

/// Runs the command that `args` begins with; --help prints the overview. Anything else is a usage error that names the
/// nearest.
int run_sub_command(const SubCommands& group, std::span<const std::string> args);

/// What a command takes without a name: `words` ("DIR") as --help shows them, `count` of them or also more.
struct Operands {
  std::string words;
  std::string description;
  std::size_t count = 1;
  enum class More : std::uint8_t { refused, taken } more = More::refused;
};

/// A command's options from the command line alone, with a fixed number of operands.
class CommandLine {
 public:
  CommandLine(ProgramText text, Operands operands);

  OptionGroup& options() { return set_.group("Options"); }
  void take_from_run(const std::string& name, const std::string& description) { set_.take_from_run(name, description); }
  /// The operands; nothing where --help was asked for and is printed. Mistakes are usage errors.
  std::optional<std::vector<std::string>> parse(std::span<const std::string> args);

 private:
  std::string name_;
  Operands operands_;
  std::vector<std::string> found_;
  OptionSet set_;
};

}  // namespace trireme
