// Standard output of commands: what was asked for, as opposed to the log lines on standard error.
#pragma once

#include <string>
#include <string_view>

#include "core/io/json.hpp"

namespace trireme {

/// Writes all of `text`. A reader that has seen enough (| head) is no failure; a full disk is, with ExitCode::storage.
void print_out(std::string_view text);
/// The same of an indented JSON value; what is no UTF-8 in its texts (a path may have it) is replaced.
void print_json(const Json& value);
/// `text` with control characters as \n, \t, \x1b.
std::string harmless(std::string_view text);

}  // namespace trireme
