// A sequence of work of one GPU stream, recorded once and started again with one call (a CUDA graph). The replayed work
// uses the addresses and arguments it was recorded with, so inputs lie in fixed places and numbers that change are read
// from device memory (StepState).
//
// What may be recorded: launches, stream-ordered copies and zeroing, libraries' calls, and waits for events recorded on
// the same stream, by which other streams join (their work must be waited for by the recording stream before the end).
// Refused with an Error: memory from the system, blocking copies, waiting for the stream. So the same work is run once
// without recording first: then the step's allocator holds every block it needs, and keeps all of them while a graph
// that uses them lives.
#pragma once

#include <functional>

#include "core/device/cuda.hpp"
#include "core/device/stream.hpp"

namespace trireme {

class CudaGraph {
 public:
  /// Records what `work` queues on `stream` (of a GPU) from this thread; nothing of it runs. Recording again replaces
  /// the graph, by new arguments alone where the sequence is the same. What `work` throws leaves the old graph as it
  /// is.
  void record(const Stream& stream, const std::function<void()>& work);
  /// Queues the recorded work on `stream`, of the same GPU. Throws where nothing was recorded.
  void launch(const Stream& stream) const;
  explicit operator bool() const { return static_cast<bool>(executable_); }
  /// Forgets the graph; its last launch must be done.
  void reset() { executable_.reset(); }
  /// How often the sequence itself was built (a sign of recordings that differ).
  int built() const { return built_; }

 private:
  Handle<void*, cuda::destroy_graph_executable> executable_;
  Device device_;
  int built_ = 0;
};

}  // namespace trireme
