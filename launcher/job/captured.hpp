// A command that is asked something and must answer in time: Slurm's wait for ever for a controller or a host that is
// gone.
#pragma once

#include <string>
#include <vector>

namespace trireme {

struct Captured {
  int code = 0;  // 128 + signal where one killed it, 124 where its time ran out and it was killed
  std::string output, error;
};

/// Usage error where the program cannot be run. Both texts are cut after a mebibyte.
Captured captured(const std::vector<std::string>& command, double seconds);

}  // namespace trireme
