// Files that are read more than once while they are imported: each reading must have found the same bytes. What the
// first one learnt (how many samples, which classes, that every number is finite) would be said of other data.
#pragma once

#include <map>
#include <string>

#include "core/base/error.hpp"
#include "core/io/json.hpp"

namespace trireme {

class SameFiles {
 public:
  /// `found`: bytes and checksum at the end of a reading. Throws Error(corrupt_input) where they were others before.
  void read(const std::string& path, const Json& found) {
    const auto [at, first] = found_.try_emplace(path, found);
    if (!first && at->second != found) changed(path);
  }
  [[noreturn]] static void changed(const std::string& path) {
    fail(ExitCode::corrupt_input, "{} changed while it was imported: import it again", path);
  }

 private:
  std::map<std::string, Json> found_;
};

}  // namespace trireme
