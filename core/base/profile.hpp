// Where a step's time goes: named spans of the calling thread, recorded only between profile::start() and stop(), and
// written as a Chrome trace (chrome://tracing, Perfetto); a CUDA build also gives them to NVTX. A span costs one
// relaxed load while profiling is off.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace trireme {

namespace profile {

/// Starts recording; earlier spans are dropped.
void start();
void stop();
/// Names the calling thread in the trace.
void name_thread(std::string name);
/// Writes the spans recorded so far as Chrome trace JSON; `process` distinguishes several traces put together.
void write(const std::string& path, int process);
/// Seconds spent in spans of kernels and libraries on the calling thread since start(); nested spans count once.
double busy_seconds();

namespace detail {
extern std::atomic<bool> enabled;
}

}  // namespace profile

class ProfileSpan {
 public:
  enum class Kind : std::uint8_t { phase, op, kernel, library, communication, data };
  /// `name` must outlive the trace: pass a literal.
  ProfileSpan(const char* name, Kind kind) {
    if (profile::detail::enabled.load(std::memory_order_relaxed)) begin(name, kind);
  }
  ~ProfileSpan() {
    if (name_) end();
  }
  ProfileSpan(const ProfileSpan&) = delete;
  ProfileSpan& operator=(const ProfileSpan&) = delete;

 private:
  void begin(const char* name, Kind kind);
  void end();
  const char* name_ = nullptr;
  Kind kind_{};
  std::int64_t start_ = 0;
};

}  // namespace trireme
