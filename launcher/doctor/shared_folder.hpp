// Whether a folder is one and the same on several hosts: what one writes, the others see soon, and a lock that one
// holds is seen by the others. All happens in a folder of its own in it, named by a token.
#pragma once

#include <string>

#include "core/io/descriptor.hpp"

namespace trireme {

/// The side that begins: its file is there, and locked, until this is destroyed.
class SharedFolder {
 public:
  /// Storage error where it cannot be written.
  SharedFolder(const std::string& folder, const std::string& token);
  ~SharedFolder();
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;

  /// Seconds until the file that `host` writes is seen here; negative where it is not within `seconds`.
  double wait_for(const std::string& host, double seconds) const;

 private:
  std::string place_;
  Descriptor lock_;
};

struct SharedAnswer {
  double seen_after = -1;  // seconds; negative: not within the time
  bool locked = false;     // the lock of the beginner is seen
  std::string problem = {};
};

/// The other side, on `host`: looks for at most `seconds`, then writes its own file.
SharedAnswer look_into_shared(const std::string& folder, const std::string& token, const std::string& host,
                              double seconds);

}  // namespace trireme
