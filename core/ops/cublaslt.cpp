// See cublaslt.hpp.
#ifdef TRIREME_HAS_CUDA

#include "core/ops/cublaslt.hpp"

#include <map>
#include <mutex>
#include <string>

#include "core/base/error.hpp"
#include "core/device/cuda_check.hpp"
#include "core/device/shared_library.hpp"

namespace trireme::ops::cublaslt {
namespace {

Library open_library() {
  static const std::string file = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  const SharedLibrary from({.file = file.c_str(),
                            .purpose = "products of matrices on a GPU",
                            .remedy = "it is part of the CUDA toolkit (package libcublas)"});
  Library to{};
  from.bind(to.create, "cublasLtCreate");
  from.bind(to.version, "cublasLtGetVersion");
  from.bind(to.status_name, "cublasLtGetStatusName");
  from.bind(to.matmul, "cublasLtMatmul");
  from.bind(to.create_operation, "cublasLtMatmulDescCreate");
  from.bind(to.destroy_operation, "cublasLtMatmulDescDestroy");
  from.bind(to.set_operation, "cublasLtMatmulDescSetAttribute");
  from.bind(to.create_layout, "cublasLtMatrixLayoutCreate");
  from.bind(to.destroy_layout, "cublasLtMatrixLayoutDestroy");
  from.bind(to.set_layout, "cublasLtMatrixLayoutSetAttribute");
  from.bind(to.create_preference, "cublasLtMatmulPreferenceCreate");
  from.bind(to.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  from.bind(to.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  from.bind(to.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  return to;
}

}  // namespace

const Library& library() {
  static const Library only = open_library();
  return only;
}

void check(cublasStatus_t status, const char* call) {
  require(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt refused {}: {}; CUBLASLT_LOG_LEVEL=2 shows its own words", call,
          library().status_name(status));
}

cublasLtHandle_t handle(int device) {
  static std::mutex guard;
  // Never destroyed: the library may be gone before static objects are.
  static auto& all = *new std::map<int, cublasLtHandle_t>;
  const std::lock_guard lock(guard);
  cuda::use_device(device);
  const auto [at, fresh] = all.try_emplace(device, nullptr);
  if (at->second == nullptr) check(library().create(&at->second), "a handle");
  return at->second;
}

void destroy(cublasLtMatmulDesc_t operation) { library().destroy_operation(operation); }
void destroy(cublasLtMatrixLayout_t layout) { library().destroy_layout(layout); }
void destroy(cublasLtMatmulPreference_t preference) { library().destroy_preference(preference); }

}  // namespace trireme::ops::cublaslt

#endif
