// Errors that leave a job. Every failure a user can cause is an Error whose text says what was done, what was found,
// what was wanted and what to change; its code becomes the process' exit status (docs/exit_codes.md).
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace trireme {

/// Stable exit codes of every program of the project.
enum class ExitCode : int {
  done = 0,
  failure = 1,
  usage = 2,
  disagree = 3,
  resume_me = 10,
  hang = 11,
  peer_lost = 12,
  numeric = 13,
  storage = 14,
  corrupt_input = 15,
  do_not_restart = 93,
};

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode code = ExitCode::failure)
      : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Throws an Error with a formatted text.
template <class... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> text, Args&&... args) {
  throw Error(fmt::format(text, std::forward<Args>(args)...), code);
}

/// Throws unless `ok`: for mistakes of a caller (shapes, types, arguments), exit code 1.
template <class... Args>
void require(bool ok, fmt::format_string<Args...> text, Args&&... args) {
  if (!ok) fail(ExitCode::failure, text, std::forward<Args>(args)...);
}

}  // namespace trireme
