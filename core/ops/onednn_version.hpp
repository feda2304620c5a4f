// The version of oneDNN that runs, and the threads it was built for, for `trireme --version`.
#pragma once

#include <string>

namespace trireme {

std::string onednn_version();

}  // namespace trireme
