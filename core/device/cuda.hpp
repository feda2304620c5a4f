// The few CUDA run-time calls the device layer needs, behind plain types, so that no other header shows CUDA. In a
// build without CUDA every function but the two queries throws. Each call is checked; the message has the call and
// CUDA's text.
#pragma once

#include <cstddef>
#include <string>

namespace trireme::cuda {

int device_count();
/// Why device_count() is 0.
std::string unavailable_reason();

void* create_stream(int device);
void synchronize_stream(void* stream);
/// Makes an event and records it on `stream`.
void* record_event(void* stream);
bool event_done(void* event);
void wait_event(void* event);
void stream_wait(void* stream, void* event);

/// Memory of GPU `device` from its stream-ordered pool, which keeps freed blocks reserved.
void* allocate(int device, std::size_t bytes);
void release(int device, void* data) noexcept;
/// Any direction; blocks until done.
void copy(void* to, const void* from, std::size_t bytes);
void fill_zero(void* data, std::size_t bytes);

}  // namespace trireme::cuda
