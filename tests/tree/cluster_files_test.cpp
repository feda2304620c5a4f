// What is handed to other programs and never compiled: scripts that shellcheck takes without a word, and a manifest for
// Kubernetes that is one.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/temp_dir.hpp"

namespace trireme::tree {
namespace {

namespace fs = std::filesystem;

const std::string root = TRIREME_SOURCE_DIR;

struct Said {
  int code = 0;
  std::string text;
};

Said run(const std::string& command) {
  Said out;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> bytes{};
  for (std::size_t got = 1; got > 0;)
    out.text.append(bytes.data(), got = std::fread(bytes.data(), 1, bytes.size(), pipe));
  out.code = WEXITSTATUS(::pclose(pipe));
  return out;
}

bool is_there(const std::string& program) { return run("command -v " + program).code == 0; }

/// All scripts of the repository, without what was built in it.
std::string scripts() {
  std::string out = " '" + root + "/.ci/run'";
  for (fs::recursive_directory_iterator at(root), end; at != end; ++at) {
    const std::string name = at->path().filename().string();
    const bool built = name.starts_with("build") || name.starts_with(".") || name == "install" || name == "runs";
    if (at->is_directory() && at.depth() == 0 && built) at.disable_recursion_pending();
    if (at->is_regular_file() && name.ends_with(".sh")) out += " '" + at->path().string() + "'";
  }
  return out;
}

TEST(ClusterFiles, shellcheck_has_nothing_to_say) {
  if (!is_there("shellcheck")) GTEST_SKIP() << "skipped: no shellcheck";
  const Said said = run("cd '" + root + "' && shellcheck -x" + scripts());
  EXPECT_EQ(said.code, 0) << said.text;
  // It would speak.
  const TempDir folder;
  std::ofstream(folder / "bad.sh") << "#!/bin/bash\nrm $1\n";
  EXPECT_NE(run("shellcheck " + (folder / "bad.sh")).code, 0);
}

TEST(ClusterFiles, the_manifest_is_an_mpi_job) {
  if (!is_there("python3")) GTEST_SKIP() << "skipped: no python3";
  const std::string folder = root + "/cluster/kubernetes", check = "python3 '" + folder + "/check.py' ";
  const Said said = run(check + "'" + folder + "/mpijob.yaml'");
  if (said.code == 77) GTEST_SKIP() << said.text;
  EXPECT_EQ(said.code, 0) << said.text;
  const TempDir place;
  const std::vector<std::string> mistakes = {"s/restartPolicy/restartPolcy/",
                                             "s/v2beta1/v1/",
                                             "s/slotsPerWorker: 2/slotsPerWorker: 3/",
                                             "/queue-name/d",
                                             "s/name: work, mountPath/name: wrk, mountPath/",
                                             "s/8Gi/8gb/"};
  for (const std::string& mistake : mistakes) {
    const std::string bad = place / "bad.yaml";
    ASSERT_EQ(run("sed '" + mistake + "' '" + folder + "/mpijob.yaml' >'" + bad + "'").code, 0);
    EXPECT_EQ(run(check + "'" + bad + "'").code, 1) << mistake;
  }
}

/// The packages that a script or a page names by hand would rot; the recipes ask the list.
TEST(ClusterFiles, containers_build_from_the_list_of_packages) {
  for (const char* recipe : {"Dockerfile", "trireme.def"}) {
    std::ifstream file(root + "/cluster/container/" + recipe);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    EXPECT_NE(text.find("cluster/setup/packages.sh build"), std::string::npos) << recipe;
    EXPECT_NE(text.find("cmake --preset release"), std::string::npos) << recipe;
  }
}

}  // namespace
}  // namespace trireme::tree
