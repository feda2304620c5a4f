#include "core/device/cuda_graph.hpp"

#include "core/base/error.hpp"

namespace trireme {
namespace {

using Recorded = Handle<void*, cuda::destroy_graph>;

Recorded recorded(const Stream& stream, const std::function<void()>& work) {
  cuda::begin_capture(stream.native());
  try {
    work();
  } catch (...) {
    cuda::abandon_capture(stream.native());
    throw;
  }
  return Recorded(cuda::end_capture(stream.native()));
}

}  // namespace

void CudaGraph::record(const Stream& stream, const std::function<void()>& work) {
  require(stream.device().is_cuda(), "recording a graph on {}: only the work of a GPU can be recorded",
          stream.device().name());
  const Recorded graph = recorded(stream, work);
  if (executable_ && device_ == stream.device() && cuda::update_graph(executable_.get(), graph.get())) return;
  executable_ = Handle<void*, cuda::destroy_graph_executable>(cuda::instantiate_graph(graph.get()));
  device_ = stream.device();
  ++built_;
}

void CudaGraph::launch(const Stream& stream) const {
  require(static_cast<bool>(executable_), "launching a graph that was not recorded");
  require(stream.device() == device_, "launching a graph of {} on {}", device_.name(), stream.device().name());
  cuda::launch_graph(executable_.get(), stream.native());
}

}  // namespace trireme
