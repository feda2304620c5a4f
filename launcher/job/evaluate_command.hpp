// `trireme evaluate` and `trireme predict`: what a trained classifier or regression makes of a split of a data set.
#pragma once

#include <span>
#include <string>

namespace trireme {

int evaluate_command(std::span<const std::string> args);
int predict_command(std::span<const std::string> args);

}  // namespace trireme
