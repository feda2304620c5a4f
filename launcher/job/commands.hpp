// The commands of `trireme`: finds the one asked for, runs it, turns an Error into its exit code.
#pragma once

#include <span>
#include <string>

namespace trireme {

/// `args` without the program's name. Prints errors to standard error; never throws.
int run_trireme(std::span<const std::string> args);

}  // namespace trireme
