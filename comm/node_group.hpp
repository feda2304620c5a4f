// The processes of one host that set up something together, as seen by code that may not know what connects them: their
// number, this one's place, and a blocking exchange of short texts.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace trireme {

struct NodeGroup {
  int rank = 0;
  int size = 1;
  /// One text of each process, in rank order. Blocks until all have called; every process calls it equally often.
  std::function<std::vector<std::string>(const std::string&)> exchange;
  /// How each process is called in messages: "rank 3 on host a".
  std::vector<std::string> names;
};

}  // namespace trireme
