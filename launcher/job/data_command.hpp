// `trireme data ...`: make, look into and check data sets (docs/formats.md).
#pragma once

#include <span>
#include <string>

namespace trireme {

/// Runs `trireme data ARGS...`; `args` begins behind the word data. Returns the exit code; mistakes are Errors.
int data_command(std::span<const std::string> args);

}  // namespace trireme
