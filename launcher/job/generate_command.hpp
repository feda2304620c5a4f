// `trireme generate`: writes on from prompts with a trained language model.
#pragma once

#include <span>
#include <string>

namespace trireme {

int generate_command(std::span<const std::string> args);

}  // namespace trireme
