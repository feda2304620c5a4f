// See cudnn.hpp.
#ifdef TRIREME_HAS_CUDNN

#include "core/ops/cudnn.hpp"

#include <map>
#include <string>

#include "core/base/error.hpp"
#include "core/device/cuda_check.hpp"
#include "core/device/shared_library.hpp"

static_assert(CUDNN_MAJOR >= 9, "cuDNN 9 or newer is needed; configure with -DTRIREME_CUDNN=OFF to leave it out");

namespace trireme::ops::cudnn {
namespace {

void bind_descriptors(const SharedLibrary& from, Library& to) {
  from.bind(to.create_tensor, "cudnnCreateTensorDescriptor");
  from.bind(to.destroy_tensor, "cudnnDestroyTensorDescriptor");
  from.bind(to.set_tensor, "cudnnSetTensor4dDescriptor");
  from.bind(to.create_filter, "cudnnCreateFilterDescriptor");
  from.bind(to.destroy_filter, "cudnnDestroyFilterDescriptor");
  from.bind(to.set_filter, "cudnnSetFilter4dDescriptor");
  from.bind(to.create_convolution, "cudnnCreateConvolutionDescriptor");
  from.bind(to.destroy_convolution, "cudnnDestroyConvolutionDescriptor");
  from.bind(to.set_convolution, "cudnnSetConvolution2dDescriptor");
  from.bind(to.set_groups, "cudnnSetConvolutionGroupCount");
  from.bind(to.set_math, "cudnnSetConvolutionMathType");
}

Library open_library() {
  static const std::string file = fmt::format("libcudnn.so.{}", CUDNN_MAJOR);
  const SharedLibrary from({.file = file.c_str(),
                            .purpose = "convolutions and attention on a GPU",
                            .remedy = "install NVIDIA's cuDNN (package libcudnn9-cuda-13)"});
  Library to{};
  to.loaded = from.native();
  from.bind(to.create, "cudnnCreate");
  from.bind(to.set_stream, "cudnnSetStream");
  from.bind(to.version, "cudnnGetVersion");
  from.bind(to.error_string, "cudnnGetErrorString");
  bind_descriptors(from, to);
  from.bind(to.forward_algorithms, "cudnnGetConvolutionForwardAlgorithm_v7");
  from.bind(to.data_algorithms, "cudnnGetConvolutionBackwardDataAlgorithm_v7");
  from.bind(to.filter_algorithms, "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
  from.bind(to.forward_workspace, "cudnnGetConvolutionForwardWorkspaceSize");
  from.bind(to.data_workspace, "cudnnGetConvolutionBackwardDataWorkspaceSize");
  from.bind(to.filter_workspace, "cudnnGetConvolutionBackwardFilterWorkspaceSize");
  from.bind(to.forward, "cudnnConvolutionForward");
  from.bind(to.data_gradient, "cudnnConvolutionBackwardData");
  from.bind(to.filter_gradient, "cudnnConvolutionBackwardFilter");
  return to;
}

}  // namespace

const Library& library() {
  static const Library only = open_library();
  return only;
}

void check(cudnnStatus_t status, const char* call) {
  require(status == CUDNN_STATUS_SUCCESS, "cuDNN refused {}: {}; CUDNN_LOGLEVEL_DBG=2 shows its own words", call,
          library().error_string(status));
}

cudnnHandle_t handle(const Context& context) {
  // Never destroyed: the library may be gone before a thread's objects are.
  thread_local auto& all = *new std::map<int, cudnnHandle_t>;
  const int device = context.device().index;
  cuda::use_device(device);
  cudnnHandle_t& mine = all[device];
  if (mine == nullptr) check(library().create(&mine), "a handle");
  check(library().set_stream(mine, static_cast<cudaStream_t>(context.stream().native())), "a stream");
  return mine;
}

void destroy(cudnnTensorDescriptor_t tensor) { library().destroy_tensor(tensor); }
void destroy(cudnnFilterDescriptor_t filter) { library().destroy_filter(filter); }
void destroy(cudnnConvolutionDescriptor_t convolution) { library().destroy_convolution(convolution); }

}  // namespace trireme::ops::cudnn

#endif
