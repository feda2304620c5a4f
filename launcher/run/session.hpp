// The life of one rank: processes joined, cores and threads given out, device chosen, mesh built. Made first in main
// and the last to go. run_program() is the frame of every program: it parses options, checks that all ranks were
// started with the same ones, runs the job, and turns whatever leaves it into one printed cause and an exit code for
// the whole job.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.hpp"
#include "comm/gpu_communicator.hpp"
#include "comm/mesh.hpp"
#include "comm/mpi.hpp"
#include "core/base/error.hpp"
#include "core/device/stream.hpp"
#include "launcher/run/options.hpp"

namespace trireme {

/// How the ranks of a host share its cores.
enum class Binding : std::uint8_t { automatic, none };

struct SessionOptions {
  std::string device = "auto";  ///< auto, cpu, cuda or cuda:N
  bool share_gpu = false;       ///< Several ranks may compute on one GPU.
  GpuTransport::Way collectives = GpuTransport::Way::automatic;
  bool check_collectives = false;  ///< Every collective is compared between the ranks before it runs.
  double nccl_start_timeout = 120, nccl_timeout = 600;  ///< Seconds; docs/nccl.md.
  std::int64_t threads = 0;  ///< 0: OMP_NUM_THREADS where set, else cores of the host / ranks of the host
  Binding binding = Binding::automatic;
  void declare(OptionSet& options);
};

class Session {
 public:
  Session(MpiRuntime& runtime, const SessionOptions& options);

  Communicator& world() const { return *world_; }
  const Mesh& mesh() const { return *mesh_; }
  /// The axis over which batches are split.
  const std::shared_ptr<Communicator>& data() const { return mesh_->shared_axis("data"); }
  const Stream& stream() const { return *stream_; }
  Device device() const { return stream_->device(); }
  int threads() const { return threads_; }
  /// The one rank that talks and writes.
  bool leads() const { return world_->rank() == 0; }

 private:
  void share_cores(const SessionOptions& options);
  void choose_device(const SessionOptions& options);

  std::unique_ptr<Stream> stream_;  // first: communicators queue on it to their end
  std::shared_ptr<Communicator> world_;
  std::unique_ptr<Mesh> mesh_;
  int threads_ = 1;
};

/// Thrown on all ranks alike: leaves the job early and in order, with this exit code and without an error.
struct LeaveJob {
  ExitCode code = ExitCode::done;
};

struct Arguments {
  int count;
  const char* const* values;
};

/// Parses `options` (exit code 2 on a mistake), joins the ranks, checks that their options agree (3), runs `job`.
/// Returns the exit code of the process; an exception on any rank ends all ranks.
int run_program(OptionSet& options, const Arguments& arguments, const std::function<void(Session&)>& job);

}  // namespace trireme
