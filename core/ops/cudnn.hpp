// What ops share to call cuDNN on a GPU: the library, opened when first used; a handle for each thread and GPU;
// descriptors that free themselves. Internal to core/ops; include it in source files only, in builds with cuDNN.
#pragma once

#include <cudnn.h>

#include "core/device/handle.hpp"
#include "core/tape/context.hpp"

namespace trireme::ops::cudnn {

/// The functions used here.
struct Library {
  decltype(&::cudnnCreate) create;
  decltype(&::cudnnSetStream) set_stream;
  decltype(&::cudnnGetVersion) version;
  decltype(&::cudnnGetErrorString) error_string;
  decltype(&::cudnnCreateTensorDescriptor) create_tensor;
  decltype(&::cudnnDestroyTensorDescriptor) destroy_tensor;
  decltype(&::cudnnSetTensor4dDescriptor) set_tensor;
  decltype(&::cudnnCreateFilterDescriptor) create_filter;
  decltype(&::cudnnDestroyFilterDescriptor) destroy_filter;
  decltype(&::cudnnSetFilter4dDescriptor) set_filter;
  decltype(&::cudnnCreateConvolutionDescriptor) create_convolution;
  decltype(&::cudnnDestroyConvolutionDescriptor) destroy_convolution;
  decltype(&::cudnnSetConvolution2dDescriptor) set_convolution;
  decltype(&::cudnnSetConvolutionGroupCount) set_groups;
  decltype(&::cudnnSetConvolutionMathType) set_math;
  decltype(&::cudnnGetConvolutionForwardAlgorithm_v7) forward_algorithms;
  decltype(&::cudnnGetConvolutionBackwardDataAlgorithm_v7) data_algorithms;
  decltype(&::cudnnGetConvolutionBackwardFilterAlgorithm_v7) filter_algorithms;
  decltype(&::cudnnGetConvolutionForwardWorkspaceSize) forward_workspace;
  decltype(&::cudnnGetConvolutionBackwardDataWorkspaceSize) data_workspace;
  decltype(&::cudnnGetConvolutionBackwardFilterWorkspaceSize) filter_workspace;
  decltype(&::cudnnConvolutionForward) forward;
  decltype(&::cudnnConvolutionBackwardData) data_gradient;
  decltype(&::cudnnConvolutionBackwardFilter) filter_gradient;
  void* loaded;  ///< The opened library, for its frontend.
};
/// Throws where the library is not there, with the name of its file.
const Library& library();

/// Throws unless `status` is success; `call` says what was asked for.
void check(cudnnStatus_t status, const char* call);

/// The calling thread's handle, set to the context's stream, whose GPU becomes the current one.
cudnnHandle_t handle(const Context& context);

void destroy(cudnnTensorDescriptor_t tensor);
void destroy(cudnnFilterDescriptor_t filter);
void destroy(cudnnConvolutionDescriptor_t convolution);
using TensorForm = Handle<cudnnTensorDescriptor_t, destroy>;
using FilterForm = Handle<cudnnFilterDescriptor_t, destroy>;
using Convolution = Handle<cudnnConvolutionDescriptor_t, destroy>;

}  // namespace trireme::ops::cudnn
