// The few CUDA run-time calls the device layer needs, behind plain types, so that no other header shows CUDA. In a
// build without CUDA every function but the two queries throws. Each call is checked; the message has the call and
// CUDA's text.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace trireme::cuda {

int device_count();
/// Why device_count() is 0.
std::string unavailable_reason();
/// What decides which code suits a GPU: "sm_90 with 132 processors".
std::string device_kind(int device);

void* create_stream(int device);
void synchronize_stream(void* stream);
/// Makes an event and records it on `stream`.
void* record_event(void* stream);
bool event_done(void* event);
void wait_event(void* event);
void stream_wait(void* stream, void* event);
/// For libraries that look at the calling thread's current GPU.
void make_current(int device);

/// Memory of GPU `device` from its stream-ordered pool, which keeps freed blocks reserved. Throws in a thread that
/// records a graph.
void* allocate(int device, std::size_t bytes);
/// What a thread gives back while it records a graph is freed when the recording ends.
void release(int device, void* data) noexcept;
/// Any direction; blocks until done. Throws in a thread that records a graph, like fill_zero().
void copy(void* to, const void* from, std::size_t bytes);
void fill_zero(void* data, std::size_t bytes);
/// The same in the order of `stream`, at once: both sides must live until the stream has come so far, and where one of
/// them is host memory that is not pinned, the call waits.
void copy_async(void* to, const void* from, std::size_t bytes, void* stream);
void fill_zero_async(void* data, std::size_t bytes, void* stream);

/// Bytes of a GPU's pool: taken from the GPU, handed out now, handed out at most so far.
struct PoolUse {
  std::size_t reserved = 0, used = 0, most_used = 0;
};
PoolUse pool_use(int device);

/// Host memory that GPUs reach without a detour. Slow to make: see core/device/pinned.hpp for the pool.
void* allocate_pinned(int device, std::size_t bytes);
void release_pinned(void* data) noexcept;

/// Starts recording what this thread queues on `stream` instead of running it; see core/device/cuda_graph.hpp.
void begin_capture(void* stream);
/// The recorded graph; throws where the recording became invalid. The same thread as begin_capture.
void* end_capture(void* stream);
/// Ends a recording that failed.
void abandon_capture(void* stream) noexcept;
/// Whether what is queued on `stream` is recorded just now.
bool capturing(void* stream);
void* instantiate_graph(void* graph);
/// Whether the executable graph could take over the new one's arguments; if not, it is unchanged.
bool update_graph(void* executable, void* graph);
void launch_graph(void* executable, void* stream);
void destroy_graph(void* graph);
void destroy_graph_executable(void* executable);

/// Milliseconds that the work which `queue` puts on `stream` takes on the GPU; waits for it.
double time_work(void* stream, const std::function<void()>& queue);

}  // namespace trireme::cuda
