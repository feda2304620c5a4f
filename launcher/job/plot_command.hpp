// `trireme plot RUN_FOLDER [--out FILE.svg]`: draws the training curve of a run.
#pragma once

#include <span>
#include <string>

namespace trireme {

int plot_command(std::span<const std::string> args);

}  // namespace trireme
