// The CUDA calls of graphs and of timing in a build with CUDA; recording is in cuda_runtime.cpp, because memory has to
// know of it.
#ifdef TRIREME_HAS_CUDA

#include "core/device/cuda.hpp"
#include "core/device/cuda_check.hpp"
#include "core/device/handle.hpp"

namespace trireme::cuda {
namespace {

void destroy_event(cudaEvent_t event) { check_quietly(cudaEventDestroy(event), "cudaEventDestroy"); }
using TimedEvent = Handle<cudaEvent_t, destroy_event>;

TimedEvent timed_event() {
  cudaEvent_t event = nullptr;
  TRIREME_CUDA(cudaEventCreate(&event));
  return TimedEvent(event);
}

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }
cudaGraph_t as_graph(void* graph) { return static_cast<cudaGraph_t>(graph); }
cudaGraphExec_t as_executable(void* executable) { return static_cast<cudaGraphExec_t>(executable); }

void use_device_of(cudaStream_t stream) {
  int device = 0;
  TRIREME_CUDA(cudaStreamGetDevice(stream, &device));
  use_device(device);
}

}  // namespace

bool capturing(void* stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  TRIREME_CUDA(cudaStreamIsCapturing(stream_of(stream), &status));
  return status != cudaStreamCaptureStatusNone;
}

void* instantiate_graph(void* graph) {
  cudaGraphExec_t executable = nullptr;
  TRIREME_CUDA(cudaGraphInstantiate(&executable, as_graph(graph), 0));
  return executable;
}

bool update_graph(void* executable, void* graph) {
  cudaGraphExecUpdateResultInfo info{};
  const cudaError_t status = cudaGraphExecUpdate(as_executable(executable), as_graph(graph), &info);
  if (status == cudaErrorGraphExecUpdateFailure) {
    cudaGetLastError();  // the caller makes a new one
    return false;
  }
  check(status, "cudaGraphExecUpdate");
  return true;
}

void launch_graph(void* executable, void* stream) {
  use_device_of(stream_of(stream));
  TRIREME_CUDA(cudaGraphLaunch(as_executable(executable), stream_of(stream)));
}

void destroy_graph(void* graph) { check_quietly(cudaGraphDestroy(as_graph(graph)), "cudaGraphDestroy"); }

void destroy_graph_executable(void* executable) {
  check_quietly(cudaGraphExecDestroy(as_executable(executable)), "cudaGraphExecDestroy");
}

double time_work(void* stream, const std::function<void()>& queue) {
  use_device_of(stream_of(stream));
  const TimedEvent first = timed_event(), last = timed_event();
  TRIREME_CUDA(cudaEventRecord(first.get(), stream_of(stream)));
  queue();
  TRIREME_CUDA(cudaEventRecord(last.get(), stream_of(stream)));
  TRIREME_CUDA(cudaEventSynchronize(last.get()));
  float milliseconds = 0;
  TRIREME_CUDA(cudaEventElapsedTime(&milliseconds, first.get(), last.get()));
  return static_cast<double>(milliseconds);
}

}  // namespace trireme::cuda

#endif
