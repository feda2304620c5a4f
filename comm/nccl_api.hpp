// What the NCCL communicator needs of NCCL, of a GPU's streams and of the clock, without a type of CUDA or NCCL. The
// real ones call the libraries; scripted ones drive the same communicator in tests, without a GPU and without waiting.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "comm/communicator.hpp"

namespace trireme::nccl {

/// The numbers of ncclResult_t.
enum class Status : int {
  success,
  cuda_error,
  system_error,
  internal_error,
  invalid_argument,
  invalid_usage,
  remote_error,
  in_progress,
};

/// "ncclRemoteError".
std::string_view name_of(Status status);

using Comm = void*;  // ncclComm_t
using Id = std::array<char, 128>;

enum class Operation : std::uint8_t { all_reduce, reduce_scatter, all_gather, broadcast, reduce, send, recv };

/// One call of NCCL. `count` as NCCL counts: of the piece of a rank where pieces are gathered or scattered.
struct Transfer {
  Operation operation = Operation::all_reduce;
  const void* from = nullptr;
  void* to = nullptr;
  std::size_t count = 0;
  DType dtype = DType::f32;
  Reduction reduction = Reduction::sum;
  int peer = 0;
};

struct Member {
  int rank = 0;
  int ranks = 1;
  std::string name = {};  // for NCCL's own messages
};

struct Colour {
  int colour = -1;  // negative: no part
  int key = 0;
  std::string name = {};
};

struct Block {
  void* data = nullptr;
  std::size_t bytes = 0;
};

/// The calls of NCCL. All return at once, with in_progress where the rest happens behind: state() tells when.
class Api {
 public:
  virtual ~Api() = default;
  virtual Status make_id(Id& id) = 0;
  virtual Status init(Comm& comm, const Id& id, const Member& who) = 0;
  /// `part` is valid once `parent` is no longer in progress.
  virtual Status split(Comm parent, Comm& part, const Colour& colour) = 0;
  virtual Status rank_of(Comm comm, int& rank) = 0;
  /// What goes on in `comm`, or went wrong there behind.
  virtual Status state(Comm comm) = 0;
  /// The library's words for a status, and what it said last; `comm` may be null.
  virtual std::string explain(Comm comm, Status status) = 0;
  virtual Status finalize(Comm comm) = 0;
  virtual Status destroy(Comm comm) = 0;
  /// Ends what runs on the GPU and gives up the communicator; never waits.
  virtual void abort(Comm comm) = 0;
  virtual Status group_start() = 0;
  virtual Status group_end() = 0;
  virtual Status enqueue(const Transfer& transfer, Comm comm, const Stream& stream) = 0;
  /// Memory that NCCL likes best; release() after unregister().
  virtual Status allocate(Block& block) = 0;
  virtual void release(const Block& block) = 0;
  virtual Status register_memory(Comm comm, const Block& block, void*& handle) = 0;
  virtual Status unregister(Comm comm, void* handle) = 0;
};

/// A point in a queue.
class Mark {
 public:
  virtual ~Mark() = default;
  /// Throws what the GPU failed with.
  virtual bool done() = 0;
  /// The point as an Event for the caller, whose host waits go through `completion`. At most once.
  virtual Event event(std::shared_ptr<Completion> completion) = 0;
};

/// Where the calls run on the GPU: a stream of their own, which follows the one that computes.
class Queue {
 public:
  virtual ~Queue() = default;
  virtual const Stream& stream() const = 0;
  /// The stream whose work the calls follow.
  virtual const Stream& compute() const = 0;
  /// What is queued from now on starts after all that is queued on compute() so far.
  virtual void join_compute() = 0;
  virtual std::unique_ptr<Mark> mark() = 0;
};

class Clock {
 public:
  using Time = std::chrono::steady_clock::time_point;
  virtual ~Clock() = default;
  virtual Time now() = 0;
  /// A short rest between two looks at something.
  virtual void pause() = 0;
};

struct Tools {
  std::shared_ptr<Api> api;
  std::shared_ptr<Queue> queue;  // shared by all parts of a communicator
  std::shared_ptr<Clock> clock;
  /// Ends the job where a failure was seen and the computing thread, stuck elsewhere, did not come to hear of it.
  std::function<void(ExitCode, const std::string&)> end_job = nullptr;
  bool watched = false;  // by a thread of its own
};

/// Opens libnccl.so.2 for `device`. Throws Error(usage) that says which files were looked for, or that the build has no
/// NCCL.
std::shared_ptr<Api> open_library(Device device);
/// Streams of the device that `compute` is on; `compute` outlives all calls.
std::shared_ptr<Queue> make_queue(const Stream& compute);
std::shared_ptr<Clock> make_clock();

/// Why NCCL cannot be used by this process; empty when it can.
std::string unavailable_reason();

}  // namespace trireme::nccl
