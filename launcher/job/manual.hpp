// Texts made from the tables of options, so that they cannot say anything else than the program does: the manual page
// and the completion of words by bash. Pure.
#pragma once

#include <string>
#include <vector>

#include "launcher/run/option_tables.hpp"

namespace trireme {

/// A command of `trireme`; one program, or one for each command behind it ("trireme data info").
struct CommandTable {
  std::string name, summary;
  std::vector<ProgramTable> programs = {};
};

/// trireme.1, for groff's man macros.
std::string manual_page(const std::vector<CommandTable>& commands, const std::string& version);

/// A script that bash reads once: `source <(trireme completion bash)`.
std::string bash_completion(const std::vector<CommandTable>& commands);

}  // namespace trireme
