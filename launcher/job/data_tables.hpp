// `trireme data import npy` and `trireme data import csv`.
#pragma once

#include <span>
#include <string>

namespace trireme {

int import_npy_command(std::span<const std::string> args);
int import_csv_command(std::span<const std::string> args);

}  // namespace trireme
