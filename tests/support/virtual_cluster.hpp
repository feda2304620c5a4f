// A virtual cluster (cluster/virtual/cluster.sh) for the life of this object, and for no longer than this process
// lives.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace trireme {

class VirtualCluster {
 public:
  /// `options` are those of `cluster.sh with`: "2 --slurm". Files that last go into `folder`, which is not in /tmp.
  VirtualCluster(const std::string& options, const std::string& folder);
  ~VirtualCluster();
  VirtualCluster(const VirtualCluster&) = delete;
  VirtualCluster& operator=(const VirtualCluster&) = delete;

  /// Why there is none, where this machine cannot play hosts; empty where it runs.
  const std::string& skipped() const { return skipped_; }
  /// The words before a command that is to run on `host`.
  std::vector<std::string> on(const std::string& host) const;
  /// cluster.sh with `words`: cut, slow, stop, heal. True where it ended with 0.
  bool act(const std::string& words) const;

 private:
  std::string name_, skipped_;
  std::FILE* life_ = nullptr;
};

}  // namespace trireme
