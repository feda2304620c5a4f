// Collectives on a GPU's tensors through NCCL, on a stream of their own. The communicator stands on another one (MPI,
// with or without node windows), which brings the ranks together and takes all calls on host memory and barriers. A
// call follows what was queued on the computing stream and returns at once; Stream::wait(event) keeps the host out of
// it, Event::wait() polls for errors and time-outs. Differences from MPI: messages have no tags (between two ranks they
// meet in order), and messages in both directions must be made before the next collective.
#pragma once

#include <memory>

#include "comm/communicator.hpp"
#include "comm/nccl_calls.hpp"

namespace trireme {

namespace nccl {
class Watch;
}

struct NcclOptions {
  enum class Alone : std::uint8_t { copies, nccl };           // a world of one rank: without NCCL, or with it
  enum class Memory : std::uint8_t { ordinary, registered };  // shared_allocator(): NCCL's own, registered memory
  nccl::Deadlines deadlines = {};
  nccl::HalfSums half_sums = nccl::HalfSums::f32;
  Memory memory = Memory::ordinary;
  Alone alone = Alone::copies;
};

class NcclCommunicator final : public Communicator {
 public:
  using Opener = std::function<nccl::Tools()>;
  /// Collective over `base`. `open` gives the tools; what it throws on one rank, all hear. Throws Error: hang with the
  /// ranks that did not arrive in time, or what NCCL failed with on which rank.
  static std::shared_ptr<Communicator> make(std::shared_ptr<Communicator> base, const Opener& open,
                                            const NcclOptions& options);
  ~NcclCommunicator() override;

  std::shared_ptr<Communicator> split(int colour, int key, const std::string& label) override;
  Event execute(const Call& call, CollectiveLog::Ticket ticket) override;
  void progress() override;
  bool moves(Device device) const override { return device == Device::cpu() || device == device_; }
  const Stream* compute() const override { return &channel_->queue().compute(); }
  void begin_group() override { channel_->begin_group(); }
  Event end_group() override { return channel_->end_group(); }
  void abandon_group() noexcept override { channel_->abandon_group(); }
  /// Memory of the GPU.
  std::shared_ptr<Allocator> shared_allocator(std::size_t bytes) override;
  [[noreturn]] void abort(ExitCode code) override;
  /// Ends the calls under way with this cause, from any thread; whoever waits for them gets it as an Error.
  void stop(ExitCode code, const std::string& cause) { channel_->stop(code, cause); }
  const std::shared_ptr<nccl::Channel>& channel() const { return channel_; }

 private:
  NcclCommunicator(std::shared_ptr<Communicator> base, std::shared_ptr<nccl::Channel> channel, NcclOptions options);
  bool is_ours(const Call& call) const;

  std::shared_ptr<Communicator> base_;
  std::shared_ptr<nccl::Channel> channel_;
  NcclOptions options_;
  Device device_;
  std::shared_ptr<Allocator> scratch_;
  std::shared_ptr<nccl::Watch> watch_;  // shared by parts; ends before the channel
};

/// The communicator for data on the GPU of `compute`, which outlives it; `base` itself where `compute` is a CPU's; for
/// one rank one that copies, unless options.alone says otherwise. Collective. Throws Error(usage) where NCCL is
/// missing.
std::shared_ptr<Communicator> with_nccl(std::shared_ptr<Communicator> base, const Stream& compute,
                                        const NcclOptions& options = {});

}  // namespace trireme
