// Data parallelism: every rank has all parameters and a part of the batch, and gradients are summed over the ranks
// while backward goes on. It is the store that backward asks for places: ranges of the grad plane, sent in buckets.
//   begin(); for each micro-batch { if last: send(); backward } flush(); then the plane holds the sums on every rank.
// Parameters that no rank used have zero gradients; ranks may use different ones; frozen ones are not in the plan.
#pragma once

#include <memory>

#include "comm/communicator.hpp"
#include "comm/parallel/buckets.hpp"
#include "core/nn/arena.hpp"

namespace trireme {

class DataParallel final : public GradientStore {
 public:
  struct StepTiming {
    // Of the step in which at least one call was running. On a GPU calls of the next step may still be running when the
    // host is done with this one: the sum over many steps means more than one step.
    double communication_seconds = 0;
    double exposed_seconds = 0;  // of these, waited for with nothing left to compute
    double helping_seconds = 0;  // this thread's share of sums during backward
  };

  /// `comm` and `layout` outlive it; `grad` is (layout.trained_elements()), best from comm->shared_allocator().
  /// Collective: throws Error(disagree) when ranks have different layouts.
  DataParallel(std::shared_ptr<Communicator> comm, const ArenaLayout& layout, Tensor grad,
               const BucketOptions& options = {});

  /// Starts a step; gradients are kept back until send().
  void begin();
  /// From now on complete gradients leave: call before the last backward pass of the step.
  void send();
  Destination acquire(Parameter& parameter) override;
  void ready(Parameter& parameter) override;
  /// Sends the rest, what nobody wrote as zeros, and waits until the plane holds the sums over all ranks; on a GPU only
  /// what is queued later on the computing stream waits.
  void flush();
  /// Which entries the step's backward passes have written so far. A replay of recorded work writes without asking for
  /// places: set_written() then says what the recorded passes had written.
  const std::vector<char>& written() const { return store_.touched(); }
  void set_written(const std::vector<char>& entries) { store_.set_touched(entries); }

  /// The sum over all ranks of the caller's numbers (squared norm, target count, loss, non-finite count): the one
  /// further message of a step.
  std::vector<double> sum(std::span<const double> values);
  /// The same for numbers that lie on the device, in place: on a GPU without the host.
  void sum(const Tensor& values);

  Communicator& communicator() const { return *comm_; }
  /// The summed gradient of one entry, after flush().
  Tensor gradient(std::size_t entry) const { return store_.gradient(entry); }
  const std::vector<Bucket>& plan() const { return buckets_.plan(); }
  /// Of the last step, after flush().
  StepTiming timing() const;

 private:
  enum class State { idle, holding, sending };
  void zero_untouched(std::size_t first, std::size_t last);

  std::shared_ptr<Communicator> comm_;
  const ArenaLayout* layout_;
  PlaneGradients store_;
  Buckets buckets_;
  std::vector<char> complete_;
  State state_ = State::idle;
  double busy_before_ = 0, busy_ = 0;
};

}  // namespace trireme
