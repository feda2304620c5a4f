// JSON for the whole project: the one place that includes the JSON library. Json keeps keys sorted; parse errors are
// the library's exceptions, which readers of files turn into an Error that names the file.
#pragma once

#include <nlohmann/json.hpp>

namespace trireme {
using Json = nlohmann::json;
}  // namespace trireme
