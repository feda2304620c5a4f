// What `trireme doctor` prints.
#pragma once

#include <string>

#include "launcher/doctor/examination.hpp"

namespace trireme {

/// For people: a table for each host, one of the links, and a line that sums up.
std::string to_report(const Examination& examination);
/// For programs.
Json to_json(const Examination& examination);

/// 0: nothing worse than warnings; 12: a host was not reached; 1: another fault.
int exit_code_of(const Examination& examination);

}  // namespace trireme
