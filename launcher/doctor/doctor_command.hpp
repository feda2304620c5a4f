// `trireme doctor`: whether this machine, a list of hosts or a Slurm is ready for jobs (docs/doctor.md).
#pragma once

#include <span>
#include <string>

namespace trireme {

/// Exit code 0: nothing worse than warnings, 12: a host (or Slurm) did not answer, 1: another fault.
int doctor_command(std::span<const std::string> args);

}  // namespace trireme
