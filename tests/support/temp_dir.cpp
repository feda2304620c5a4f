#include "tests/support/temp_dir.hpp"

#include <cstdlib>

#include "core/base/error.hpp"

namespace trireme {

TempDir::TempDir(const std::filesystem::path& parent) {
  std::string name = (std::filesystem::canonical(parent) / "trireme-test-XXXXXX").string();
  require(mkdtemp(name.data()) != nullptr, "making a temporary folder {} failed", name);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace trireme
