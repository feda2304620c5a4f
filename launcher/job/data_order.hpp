// `trireme data order`: which samples which rank reads at which step.
#pragma once

#include <span>
#include <string>

namespace trireme {

int data_order_command(std::span<const std::string> args);

}  // namespace trireme
