// The CUDA calls of a build without CUDA: there are no GPUs, and asking for one is an error that says so.
#ifndef TRIREME_HAS_CUDA

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"
#include "core/device/stream.hpp"

namespace trireme {
namespace {
[[noreturn]] void none() {
  fail(ExitCode::usage, "a GPU was asked for, but {}; use --device cpu", cuda::unavailable_reason());
}
}  // namespace

namespace detail {
void destroy_cuda_stream(void*) {}
void destroy_cuda_event(void*) {}
}  // namespace detail

namespace cuda {
int device_count() { return 0; }
std::string unavailable_reason() { return "this build has no CUDA (it was configured without, or no nvcc was found)"; }
std::string device_kind(int) { none(); }
void* create_stream(int) { none(); }
void synchronize_stream(void*) { none(); }
void* record_event(void*) { none(); }
bool event_done(void*) { none(); }
void wait_event(void*) { none(); }
void stream_wait(void*, void*) { none(); }
void make_current(int) { none(); }
void* allocate(int, std::size_t) { none(); }
void release(int, void*) noexcept {}
void copy(void*, const void*, std::size_t) { none(); }
void fill_zero(void*, std::size_t) { none(); }
void copy_async(void*, const void*, std::size_t, void*) { none(); }
void fill_zero_async(void*, std::size_t, void*) { none(); }
PoolUse pool_use(int) { none(); }
void* allocate_pinned(int, std::size_t) { none(); }
void release_pinned(void*) noexcept {}
void begin_capture(void*) { none(); }
void* end_capture(void*) { none(); }
void abandon_capture(void*) noexcept {}
bool capturing(void*) { return false; }
void* instantiate_graph(void*) { none(); }
bool update_graph(void*, void*) { none(); }
void launch_graph(void*, void*) { none(); }
void destroy_graph(void*) {}
void destroy_graph_executable(void*) {}
double time_work(void*, const std::function<void()>&) { none(); }
}  // namespace cuda
}  // namespace trireme

#endif
