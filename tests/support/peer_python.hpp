// A Python with the packages of others, to ask what they read from our files: TRIREME_PEER_PYTHON names it, python3
// otherwise. Tests are skipped where it lacks the packages.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/io/file.hpp"
#include "launcher/job/child.hpp"

namespace trireme {

inline std::string peer_python() {
  const char* named = std::getenv("TRIREME_PEER_PYTHON");
  return named != nullptr ? named : "python3";
}

/// Whether "import PACKAGES" works there.
inline bool peer_has(const std::string& packages) {
  return std::system((shell_quoted({peer_python(), "-c", "import " + packages}) + " >/dev/null 2>&1").c_str()) == 0;
}

/// Runs a script of the tests; what it printed. std::runtime_error with its complaint where it failed.
inline std::string run_peer(const std::string& script, const std::vector<std::string>& arguments,
                            const std::string& scratch) {
  std::vector<std::string> words{peer_python(), std::string(TRIREME_SOURCE_DIR) + "/tests/" + script};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const std::string out = scratch + ".out", complaint = scratch + ".err";
  const std::string command = shell_quoted(words);
  const int status = std::system((command + " >" + shell_quoted({out}) + " 2>" + shell_quoted({complaint})).c_str());
  if (status != 0) throw std::runtime_error(command + " failed: " + read_file(complaint));
  return read_file(out);
}

}  // namespace trireme
