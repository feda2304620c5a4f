// The text of `trireme --version`: version, features, libraries.
#pragma once

#include <string>

namespace trireme {

std::string version_text();

}  // namespace trireme
