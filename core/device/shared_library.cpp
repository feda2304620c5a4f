#include "core/device/shared_library.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/error.hpp"

namespace trireme {
namespace {

std::vector<std::string> toolkit_folders() {
  std::vector<std::string> roots;
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* root = std::getenv(variable)) roots.emplace_back(root);
  roots.emplace_back("/usr/local/cuda");
  std::vector<std::string> folders;
  for (const std::string& root : roots)
    for (const char* folder : {"/lib64/", "/lib/", "/targets/x86_64-linux/lib/"}) folders.push_back(root + folder);
  return folders;
}

}  // namespace

SharedLibrary::SharedLibrary(const LibraryRequest& request) : request_(request) {
  library_ = dlopen(request.file, RTLD_NOW | RTLD_LOCAL);
  if (library_) return;
  const std::string reason = dlerror();
  for (const std::string& folder : toolkit_folders()) {
    library_ = dlopen((folder + request.file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_) return;
  }
  fail(ExitCode::failure,
       "opening {} for {}: {}, nor is it in the folders of the CUDA toolkit; {}, and put its folder into "
       "LD_LIBRARY_PATH",
       request.file, request.purpose, reason, request.remedy);
}

void* SharedLibrary::symbol(const char* name) const {
  void* const found = dlsym(library_, name);
  require(found != nullptr, "{} has no function {}: it is too old for {}; {}", request_.file, name, request_.purpose,
          request_.remedy);
  return found;
}

}  // namespace trireme
