// MPI, as the rest of the project sees it. One thread makes every MPI call: it initialises the library, runs all
// collectives and messages (non-blocking, polled), and finalises. The only home of MPI is here and in comm/mpi_*.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.hpp"

namespace trireme {

class MpiRuntime {
 public:
  /// Initialises MPI, with or without mpirun (then a world of one). Throws Error(usage) when the thread level is not
  /// given, or when the world has one rank while Slurm, PMI or Open MPI say that the job has more.
  MpiRuntime();
  /// Without close(): stops the thread and leaves MPI unfinalised, which mpirun takes as the end of the job. Never
  /// waits for another rank.
  ~MpiRuntime();
  MpiRuntime(const MpiRuntime&) = delete;
  MpiRuntime& operator=(const MpiRuntime&) = delete;

  /// All ranks. Valid until close().
  const std::shared_ptr<Communicator>& world() const { return world_; }
  /// Finishes what is queued, waits for all ranks and finalises MPI. Collective. A second call does nothing.
  void close();
  /// Prints `message` once with rank and host and ends all ranks of the job with `code`, from any thread.
  [[noreturn]] void abort(ExitCode code, const std::string& message);

 private:
  struct Context;
  friend class MpiCommunicator;
  std::shared_ptr<Context> context_;
  std::shared_ptr<Communicator> world_;
};

}  // namespace trireme
