#include "core/optim/step_control.hpp"

#include <algorithm>

#include "core/base/checked.hpp"
#include "core/device/pinned.hpp"
#include "core/kernels/launch.hpp"
#include "core/optim/optimizer.hpp"

namespace trireme {
namespace {

/// Launches a row kernel of one row.
template <class Kernel>
void launch_one(const Stream& stream, std::int64_t elements, const Kernel& kernel) {
  launch_rows(stream, {1, elements}, kernel);
}

template <class T>
Tensor bytes_for(Allocator& memory) {
  return {memory.allocate(sizeof(T)), 0, {static_cast<std::int64_t>(sizeof(T))}, DType::u8};
}

}  // namespace

StepControl::StepControl(Device device, const StepControlOptions& options)
    : options_(options),
      state_(bytes_for<StepState>(system_allocator(device))),
      message_(Tensor::zeros({StepMessage::count + options.extra}, DType::f64, device)),
      outcome_(bytes_for<StepOutcome>(staging_allocator(device))) {
  set({});
}

StepState* StepControl::device_state() const { return static_cast<StepState*>(state_.raw()); }

const StepState* StepControl::state() const { return device_state(); }

void StepControl::set(const StepState& state) {
  copy_bytes({state_.raw(), state_.device()}, {&state, Device::cpu()}, sizeof state);
}

void StepControl::begin(const Stream& stream, const StepState& host) const {
  launch_one(stream, 1,
             kernels::BeginStep{.state = device_state(),
                                .message = message_.data<double>(),
                                .step = host.step,
                                .rate = host.rate,
                                .loss_scale = host.loss_scale});
}

void StepControl::add(const Stream& stream, const Tensor& loss, const Tensor& targets) const {
  require(loss.elements() == 1 && targets.elements() == 1, "a loss {} and targets {}: wanted one element each",
          loss.shape(), targets.shape());
  const auto launch = [&](auto zero) {
    using T = decltype(zero);
    launch_one(stream, 1, kernels::AddLoss<T>{loss.data<T>(), targets.data<double>(), message_.data<double>()});
  };
  loss.dtype() == DType::f64 ? launch(double{}) : launch(float{});
}

void StepControl::add_norm(const Stream& stream, const Tensor& plane) {
  const std::int64_t count = norm_partials(plane.elements());
  if (!partials_ || partials_.elements() < count) partials_ = Tensor::empty({count}, DType::f64, plane.device());
  plane_squares(stream, plane, partials_);
  launch_one(stream, count, kernels::AddNorm{partials_.data<double>(), count, message_.data<double>()});
}

void StepControl::decide(const Stream& stream) {
  launch_one(stream, 1,
             kernels::DecideStep{.message = message_.data<double>(),
                                 .state = device_state(),
                                 .outcome = static_cast<StepOutcome*>(outcome_.raw()),
                                 .nominal = options_.nominal,
                                 .clip = options_.clip});
  decided_ = stream.record();
}

void StepControl::skip(const Stream& stream) const { launch_one(stream, 1, kernels::SkipStep{device_state()}); }

StepOutcome StepControl::outcome() const {
  decided_.wait();
  return *static_cast<const StepOutcome*>(outcome_.raw());
}

}  // namespace trireme
