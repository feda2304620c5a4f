// Asks the library itself: the shared object found at start may differ from the header.
#include "core/ops/onednn_version.hpp"

#include <dnnl.h>
#include <fmt/format.h>

namespace trireme {

std::string onednn_version() {
  const dnnl_version_t* found = dnnl_version();
  const char* runtime = found->cpu_runtime == DNNL_RUNTIME_OMP ? "OpenMP" : "not OpenMP: slow with this project";
  return fmt::format("{}.{}.{} ({})", found->major, found->minor, found->patch, runtime);
}

}  // namespace trireme
