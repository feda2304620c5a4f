// The CUDA calls of a build with CUDA, through the run-time library alone: it opens the driver (libcuda.so.1) when
// first used, so the same program starts on a machine without one and finds no GPU.
//
// Order. Memory and blocking copies are not tied to the stream that computes, so each GPU has one service stream of its
// own, on which blocks are taken from the pool, freed, copied and zeroed. Before it frees, copies or zeroes, the
// service stream waits for everything queued so far on all our streams of that GPU; and allocate(), copy() and
// fill_zero() return only when the service stream has come so far. So a block is never handed out while earlier work
// still uses it, a copy sees all work queued before it, and later work on any stream may use the result. Steps take
// their blocks from a StepAllocator, which comes here only for sizes it has not seen, so a running step does not pay
// for this.
//
// Graphs. A thread that records one must not wait for streams, and memory that comes and goes while it records would be
// gone when the graph is replayed: such calls are refused there, and what is given back is freed after the recording.
// Other threads go on: streams that record are left out when the service stream waits for earlier work, all of which it
// was made to wait for when the recording began.
#ifdef TRIREME_HAS_CUDA

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"
#include "core/device/cuda_check.hpp"
#include "core/device/stream.hpp"

static_assert(CUDART_VERSION >= 12080, "CUDA 12.8 or newer is needed (cudaStreamGetDevice)");

namespace trireme {
namespace cuda {
namespace {

std::atomic<int> first_used{-1};
thread_local bool chose_device = false;
/// How many streams this thread records.
thread_local int captures = 0;

void refuse_in_capture(const std::string& what) {
  require(captures == 0,
          "{} while this thread records a CUDA graph: run the same step once without recording, so that its memory is "
          "there, and copy or zero in stream order",
          what);
}

/// For calls that take a handle: a new thread's current device is GPU 0, which CUDA would then set up although it may
/// belong to another process of this host.
void enter() {
  if (chose_device || first_used < 0) return;
  cudaSetDevice(first_used);  // a failure shows in the call that follows
  chose_device = true;
}

}  // namespace

void use_device(int device) {
  TRIREME_CUDA(cudaSetDevice(device));
  chose_device = true;
}

namespace {

struct Found {
  int count = 0;
  std::string reason;
};

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

Found find_devices() {
  Found found;
  const cudaError_t status = cudaGetDeviceCount(&found.count);
  if (status == cudaSuccess && found.count > 0) return found;
  found.count = 0;
  cudaGetLastError();  // having no GPU is no failure
  int driver = 0;
  const bool asked = cudaDriverGetVersion(&driver) == cudaSuccess;
  cudaGetLastError();
  if (!asked || driver == 0) {
    found.reason = "no NVIDIA driver (libcuda.so.1 was not found)";
  } else if (status == cudaErrorInsufficientDriver) {
    found.reason = fmt::format("driver too old: it supports CUDA {}, this program wants {}", version_text(driver),
                               version_text(CUDART_VERSION));
  } else if (status == cudaSuccess || status == cudaErrorNoDevice) {
    found.reason = "no device: there is a driver but no GPU it may use (CUDA_VISIBLE_DEVICES may hide them)";
  } else {
    found.reason = fmt::format("the driver refused: {} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
  }
  return found;
}

const Found& devices() {
  static const Found found = find_devices();
  return found;
}

/// What a GPU needs besides the streams of its users; see the top of this file.
class Service {
 public:
  explicit Service(int device) : device_(device) {
    use_device(device);
    TRIREME_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    TRIREME_CUDA(cudaEventCreateWithFlags(&mark_, cudaEventDisableTiming));
    TRIREME_CUDA(cudaDeviceGetDefaultMemPool(&pool_, device));
    auto keep_everything = std::numeric_limits<std::uint64_t>::max();
    TRIREME_CUDA(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_everything));
  }

  void add(cudaStream_t stream) {
    const std::lock_guard lock(guard_);
    users_.push_back(stream);
  }

  void remove(cudaStream_t stream) {
    const std::lock_guard lock(guard_);
    std::erase(users_, stream);
    check_quietly(join(stream), "cudaEventRecord");  // what it still has queued counts as earlier work
  }

  /// From now on, what this thread queues on `stream` is recorded.
  void begin_capture(cudaStream_t stream) {
    use_device(device_);
    const std::lock_guard lock(guard_);
    check(join(stream), "cudaEventRecord");
    TRIREME_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    ++captures;
  }

  cudaError_t end_capture(cudaStream_t stream, cudaGraph_t* graph) {
    const std::lock_guard lock(guard_);
    const cudaError_t status = cudaStreamEndCapture(stream, graph);
    --captures;
    cudaGetLastError();  // the caller says it; it must not show up in the next launch check
    for (void* data : std::exchange(given_back_, {})) free_later(data);
    return status;
  }

  /// `stream` waits for an event, which may make it part of this thread's recording.
  cudaError_t fork(cudaStream_t stream, cudaEvent_t event) {
    const std::lock_guard lock(guard_);
    const cudaError_t status = join(stream);
    return status == cudaSuccess ? cudaStreamWaitEvent(stream, event, 0) : status;
  }

  PoolUse use() const {
    use_device(device_);
    const auto ask = [this](cudaMemPoolAttr attribute) {
      std::uint64_t bytes = 0;
      TRIREME_CUDA(cudaMemPoolGetAttribute(pool_, attribute, &bytes));
      return static_cast<std::size_t>(bytes);
    };
    return {.reserved = ask(cudaMemPoolAttrReservedMemCurrent),
            .used = ask(cudaMemPoolAttrUsedMemCurrent),
            .most_used = ask(cudaMemPoolAttrUsedMemHigh)};
  }

  void* allocate(std::size_t bytes) {
    refuse_in_capture(fmt::format("allocating {} bytes on cuda:{}", bytes, device_));
    use_device(device_);
    const std::lock_guard lock(guard_);
    void* data = nullptr;
    cudaError_t status = cudaMallocAsync(&data, bytes, stream_);
    if (status == cudaErrorMemoryAllocation) {
      // The pool keeps freed blocks of other sizes; give them back and ask once more.
      cudaGetLastError();
      TRIREME_CUDA(cudaStreamSynchronize(stream_));
      TRIREME_CUDA(cudaMemPoolTrimTo(pool_, 0));
      status = cudaMallocAsync(&data, bytes, stream_);
    }
    if (status == cudaErrorMemoryAllocation) out_of_memory(bytes);
    check(status, "cudaMallocAsync");
    TRIREME_CUDA(cudaStreamSynchronize(stream_));
    return data;
  }

  void release(void* data) {
    const std::lock_guard lock(guard_);
    if (captures > 0) {
      given_back_.push_back(data);
    } else {
      free_later(data);
    }
  }

  /// queue(stream) after all earlier work; waits for its end.
  template <class Queue>
  void run(const char* what, Queue queue) {
    refuse_in_capture(fmt::format("{} on cuda:{} and waiting for it", what, device_));
    use_device(device_);
    const std::lock_guard lock(guard_);
    check(join_users(), "cudaStreamWaitEvent");
    queue(stream_);
    TRIREME_CUDA(cudaStreamSynchronize(stream_));
  }

  /// Waits for all work queued so far.
  void drain() {
    run("waiting for all work", [](cudaStream_t) {});
  }

 private:
  cudaError_t join(cudaStream_t stream) {
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    cudaError_t status = cudaStreamIsCapturing(stream, &capture);
    if (status != cudaSuccess || capture != cudaStreamCaptureStatusNone) return status;
    status = cudaEventRecord(mark_, stream);
    return status == cudaSuccess ? cudaStreamWaitEvent(stream_, mark_, 0) : status;
  }
  void free_later(void* data) {
    cudaError_t status = cudaSetDevice(device_);
    if (status == cudaSuccess) status = join_users();
    if (status == cudaSuccess) status = cudaFreeAsync(data, stream_);
    check_quietly(status, "cudaFreeAsync");
  }
  cudaError_t join_users() {
    for (const cudaStream_t stream : users_)
      if (const cudaError_t status = join(stream); status != cudaSuccess) return status;
    return cudaSuccess;
  }
  [[noreturn]] void out_of_memory(std::size_t bytes) const {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    TRIREME_CUDA(cudaMemGetInfo(&free, &total));
    const PoolUse mine = use();
    fail(ExitCode::failure,
         "allocating {} bytes on cuda:{}: out of memory, {} bytes of {} are free, this process holds {} ({} of them in "
         "use); {}",
         bytes, device_, free, total, mine.reserved, mine.used, advice(cudaErrorMemoryAllocation));
  }

  int device_;
  std::mutex guard_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t mark_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
  std::vector<cudaStream_t> users_;
  std::vector<void*> given_back_;  ///< By a thread that records a graph.
};

Service& service(int device) {
  if (device < 0 || device >= devices().count)
    fail(ExitCode::usage, "cuda:{} was asked for, but {}; use --device cpu or another number", device,
         devices().count == 0 ? devices().reason : fmt::format("there are {} GPUs, from cuda:0 on", devices().count));
  static std::mutex guard;
  // Never destroyed, as above.
  static auto& all = *new std::map<int, Service>;
  const std::lock_guard lock(guard);
  if (first_used < 0) first_used = device;
  return all.try_emplace(device, device).first->second;
}

int device_of(cudaStream_t stream) {
  enter();
  int device = 0;
  TRIREME_CUDA(cudaStreamGetDevice(stream, &device));
  return device;
}

/// The GPU that owns `data`, or -1 for host memory.
int device_of(const void* data) {
  enter();
  cudaPointerAttributes about{};
  TRIREME_CUDA(cudaPointerGetAttributes(&about, data));
  return about.type == cudaMemoryTypeDevice || about.type == cudaMemoryTypeManaged ? about.device : -1;
}

cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t as_event(void* event) { return static_cast<cudaEvent_t>(event); }

}  // namespace

int device_count() { return devices().count; }
std::string unavailable_reason() { return devices().reason; }

std::string device_kind(int device) {
  const auto ask = [device](cudaDeviceAttr attribute) {
    int value = 0;
    TRIREME_CUDA(cudaDeviceGetAttribute(&value, attribute, device));
    return value;
  };
  return fmt::format("sm_{}{} with {} processors", ask(cudaDevAttrComputeCapabilityMajor),
                     ask(cudaDevAttrComputeCapabilityMinor), ask(cudaDevAttrMultiProcessorCount));
}

void* create_stream(int device) {
  Service& home = service(device);
  use_device(device);
  cudaStream_t stream = nullptr;
  TRIREME_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  home.add(stream);
  return stream;
}

void synchronize_stream(void* stream) {
  enter();
  TRIREME_CUDA(cudaStreamSynchronize(as_stream(stream)));
}

void* record_event(void* stream) {
  use_device(device_of(as_stream(stream)));  // an event belongs to the device that is current when it is made
  cudaEvent_t event = nullptr;
  TRIREME_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  if (const cudaError_t status = cudaEventRecord(event, as_stream(stream)); status != cudaSuccess) {
    cudaEventDestroy(event);
    check(status, "cudaEventRecord");
  }
  return event;
}

bool event_done(void* event) {
  enter();
  const cudaError_t status = cudaEventQuery(as_event(event));
  if (status == cudaErrorNotReady) {
    cudaGetLastError();  // "not yet" must not look like a failed launch later
    return false;
  }
  check(status, "cudaEventQuery");
  return true;
}

void wait_event(void* event) {
  enter();
  TRIREME_CUDA(cudaEventSynchronize(as_event(event)));
}

void stream_wait(void* stream, void* event) {
  enter();
  if (captures > 0)
    return check(service(device_of(as_stream(stream))).fork(as_stream(stream), as_event(event)), "cudaStreamWaitEvent");
  TRIREME_CUDA(cudaStreamWaitEvent(as_stream(stream), as_event(event), 0));
}

void make_current(int device) { use_device(device); }

void* allocate(int device, std::size_t bytes) { return service(device).allocate(bytes); }

void release(int device, void* data) noexcept {
  if (data != nullptr) service(device).release(data);
}

void copy(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  const int target = device_of(to), source = device_of(from);
  if (target < 0 && source < 0) {
    std::memmove(to, from, bytes);
    return;
  }
  if (target >= 0 && source >= 0 && target != source) service(source).drain();
  service(target >= 0 ? target : source).run("copying", [&](cudaStream_t stream) {
    TRIREME_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream));
  });
}

void fill_zero(void* data, std::size_t bytes) {
  if (bytes == 0) return;
  const int device = device_of(data);
  require(device >= 0, "zeroing {} bytes on a GPU: the address is host memory", bytes);
  service(device).run("zeroing", [&](cudaStream_t stream) { TRIREME_CUDA(cudaMemsetAsync(data, 0, bytes, stream)); });
}

void copy_async(void* to, const void* from, std::size_t bytes, void* stream) {
  if (bytes == 0) return;
  use_device(device_of(as_stream(stream)));
  TRIREME_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, as_stream(stream)));
}

void fill_zero_async(void* data, std::size_t bytes, void* stream) {
  if (bytes == 0) return;
  use_device(device_of(as_stream(stream)));
  TRIREME_CUDA(cudaMemsetAsync(data, 0, bytes, as_stream(stream)));
}

PoolUse pool_use(int device) { return service(device).use(); }

void* allocate_pinned(int device, std::size_t bytes) {
  refuse_in_capture(fmt::format("pinning {} bytes of host memory", bytes));
  use_device(device);
  void* data = nullptr;
  const cudaError_t status = cudaHostAlloc(&data, bytes, cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(ExitCode::failure, "pinning {} bytes of host memory for cuda:{}: the system has none left to lock", bytes,
         device);
  }
  check(status, "cudaHostAlloc");
  return data;
}

void release_pinned(void* data) noexcept {
  enter();
  check_quietly(cudaFreeHost(data), "cudaFreeHost");
}

void begin_capture(void* stream) { service(device_of(as_stream(stream))).begin_capture(as_stream(stream)); }

void* end_capture(void* stream) {
  cudaGraph_t graph = nullptr;
  const cudaError_t status = service(device_of(as_stream(stream))).end_capture(as_stream(stream), &graph);
  check(status, "cudaStreamEndCapture");
  return graph;
}

void abandon_capture(void* stream) noexcept {
  int device = 0;
  if (cudaStreamGetDevice(as_stream(stream), &device) != cudaSuccess) return;
  cudaGraph_t graph = nullptr;
  service(device).end_capture(as_stream(stream), &graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
}

}  // namespace cuda

namespace detail {

void destroy_cuda_stream(void* stream) {
  const auto raw = static_cast<cudaStream_t>(stream);
  cuda::enter();
  int device = 0;
  const cudaError_t status = cudaStreamGetDevice(raw, &device);
  cuda::check_quietly(status, "cudaStreamGetDevice");
  if (status == cudaSuccess) cuda::service(device).remove(raw);
  cuda::check_quietly(cudaStreamDestroy(raw), "cudaStreamDestroy");
}

void destroy_cuda_event(void* event) {
  cuda::enter();
  cuda::check_quietly(cudaEventDestroy(static_cast<cudaEvent_t>(event)), "cudaEventDestroy");
}

}  // namespace detail
}  // namespace trireme

#endif
