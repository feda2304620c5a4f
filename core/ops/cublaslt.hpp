// What products share to call cuBLASLt on a GPU: the library, opened when first used; one handle a GPU; descriptors
// that free themselves. Internal to core/ops; include it in source files only, in builds with CUDA.
#pragma once

#include <cublasLt.h>

#include "core/device/handle.hpp"

namespace trireme::ops::cublaslt {

/// The functions used here.
struct Library {
  decltype(&::cublasLtCreate) create;
  decltype(&::cublasLtGetVersion) version;
  decltype(&::cublasLtGetStatusName) status_name;
  decltype(&::cublasLtMatmul) matmul;
  decltype(&::cublasLtMatmulDescCreate) create_operation;
  decltype(&::cublasLtMatmulDescDestroy) destroy_operation;
  decltype(&::cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&::cublasLtMatrixLayoutCreate) create_layout;
  decltype(&::cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&::cublasLtMatrixLayoutSetAttribute) set_layout;
  decltype(&::cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&::cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) heuristic;
};
/// Throws where the library is not there, with the name of its file.
const Library& library();

/// Throws unless `status` is success; `call` says what was asked for.
void check(cublasStatus_t status, const char* call);

/// The handle of a GPU, made at its first use and kept; the GPU becomes the thread's current one.
cublasLtHandle_t handle(int device);

void destroy(cublasLtMatmulDesc_t operation);
void destroy(cublasLtMatrixLayout_t layout);
void destroy(cublasLtMatmulPreference_t preference);
using Operation = Handle<cublasLtMatmulDesc_t, destroy>;
using Layout = Handle<cublasLtMatrixLayout_t, destroy>;
using Preference = Handle<cublasLtMatmulPreference_t, destroy>;

template <class T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(library().set_operation(operation.get(), attribute, &value, sizeof value), "an attribute of an operation");
}
template <class T>
void set(const Layout& layout, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
  check(library().set_layout(layout.get(), attribute, &value, sizeof value), "an attribute of a matrix");
}
template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  check(library().set_preference(preference.get(), attribute, &value, sizeof value), "an attribute of a search");
}

}  // namespace trireme::ops::cublaslt
