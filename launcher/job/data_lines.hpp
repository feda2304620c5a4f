// `trireme data import lines` and `trireme data generate names`: data sets of short texts with classes
// (docs/sequences.md).
#pragma once

#include <span>
#include <string>

namespace trireme {

int import_lines_command(std::span<const std::string> args);
int generate_names_command(std::span<const std::string> args);

}  // namespace trireme
