// Jobs that go on without a terminal: `trireme submit | list | status | logs | cancel | resume` (docs/launching.md).
#pragma once

#include <span>
#include <string>

namespace trireme {

int submit_command(std::span<const std::string> args);
int list_command(std::span<const std::string> args);
int status_command(std::span<const std::string> args);
int logs_command(std::span<const std::string> args);
int cancel_command(std::span<const std::string> args);
int resume_command(std::span<const std::string> args);

}  // namespace trireme
