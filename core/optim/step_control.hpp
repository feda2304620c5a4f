// A training step's numbers in the memory of the device: StepState, which kernels read, and the message that all
// processes add up. Nothing here waits for the device but set() and outcome(), so a host can be a step ahead of it.
//   begin(); for each micro-batch add(); add_norm(); [message() is summed over all processes]; decide(); update
// On a CPU everything happens at once, and an outcome is there as soon as decide() returns.
#pragma once

#include "core/device/stream.hpp"
#include "core/kernels/step_control.hpp"
#include "core/tensor/tensor.hpp"

namespace trireme {

struct StepControlOptions {
  double nominal = 1;      ///< The constant count by which the loss is divided before backward.
  double clip = 0;         ///< Largest norm of the mean gradient; 0: no limit.
  std::int64_t extra = 0;  ///< Further numbers behind StepMessage::count, for whoever sums the message.
};

class StepControl {
 public:
  StepControl(Device device, const StepControlOptions& options);

  /// In the device's memory; the address never changes.
  const StepState* state() const;
  /// Replaces all of the state; waits for the device.
  void set(const StepState& state);
  /// The step's number, rate and loss scale are those of `host`; nothing is skipped yet, and the message is zero but
  /// for the extra numbers.
  void begin(const Stream& stream, const StepState& host) const;
  /// One more micro-batch: `loss` of one element (f32 or f64), `targets` f64 of one element, both on the device.
  void add(const Stream& stream, const Tensor& loss, const Tensor& targets) const;
  /// The squared norm of `plane`, this process' share of the gradients, and whether it and the loss are finite.
  void add_norm(const Stream& stream, const Tensor& plane);
  /// f64 (StepMessage::count + extra) on the device, to be summed over all processes.
  const Tensor& message() const { return message_; }
  /// Fills in the state from the summed message.
  void decide(const Stream& stream);
  /// Makes the update leave everything as it is.
  void skip(const Stream& stream) const;
  /// What the last decide() came to; waits for the device.
  StepOutcome outcome() const;

 private:
  StepState* device_state() const;

  StepControlOptions options_;
  Tensor state_;     ///< u8, one StepState.
  Tensor message_;   ///< See message().
  Tensor partials_;  ///< f64, of the norm.
  Tensor outcome_;   ///< u8, one StepOutcome, in host memory that the device writes.
  Event decided_;
};

}  // namespace trireme
