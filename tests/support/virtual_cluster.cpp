// The cluster's command is a `cat` whose input is held here: it ends when this process does, whatever ends that, and
// the cluster is removed with it.
#include "tests/support/virtual_cluster.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/io/file.hpp"

namespace trireme {
namespace {

const std::string script = TRIREME_SOURCE_DIR "/cluster/virtual/cluster.sh";

std::string first_line(const std::string& path) {
  if (!std::filesystem::exists(path)) return "";
  const std::string text = read_file(path);
  return text.substr(0, text.find('\n'));
}

}  // namespace

VirtualCluster::VirtualCluster(const std::string& options, const std::string& folder) {
  if (folder.starts_with("/tmp")) {
    skipped_ = "the build folder lies in /tmp, which hosts do not share";
    return;
  }
  const std::string up = folder + "/cluster-up", end = folder + "/cluster-end", log = folder + "/cluster-log";
  const std::string held = "sh -c 'echo $VIRTUAL_CLUSTER >" + up + ".new; mv " + up + ".new " + up + "; exec cat'";
  const std::string command =
      "{ " + script + " with " + options + " -- " + held + " >" + log + " 2>&1; echo $? >" + end + "; } 2>/dev/null";
  life_ = ::popen(command.c_str(), "we");
  for (int tries = 0; tries < 1200 && name_.empty() && first_line(end).empty(); ++tries) {
    ::usleep(50000);
    name_ = first_line(up);
  }
  if (!name_.empty()) return;
  const std::string said = first_line(log);
  skipped_ = said.starts_with("skipped: ") ? said.substr(9) : "";
  EXPECT_NE(skipped_, "") << "the virtual cluster did not start: " << read_file(log);
}

VirtualCluster::~VirtualCluster() {
  if (life_ != nullptr) ::pclose(life_);
}

std::vector<std::string> VirtualCluster::on(const std::string& host) const {
  return {"env", "VIRTUAL_CLUSTER=" + name_, script, "run", host};
}

bool VirtualCluster::act(const std::string& words) const {
  return std::system(("VIRTUAL_CLUSTER=" + name_ + " timeout 60 " + script + " " + words).c_str()) == 0;
}

}  // namespace trireme
