#include "core/tape/context.hpp"

#include "core/base/checked.hpp"

namespace trireme {
namespace {

Peers& single_peer() {
  static SinglePeer peer;
  return peer;
}
const StepState first_step{};

}  // namespace

void Context::require_here(const char* op, const char* what, const Tensor& tensor) const {
  if (!tensor || on_meta() || tensor.device() == device()) return;
  fail(ExitCode::failure, "{}: the {} are on {}, but it computes on {}: copy them", op, what, tensor.device().name(),
       device().name());
}

Tensor Context::empty(const Shape& shape, DType dtype) {
  const auto bytes = to_size(checked_mul(shape.elements(), static_cast<std::int64_t>(size_of(dtype))));
  return {memory_->allocate(bytes), 0, shape, dtype};
}

Tensor Context::zeros(const Shape& shape, DType dtype) {
  Tensor out = empty(shape, dtype);
  out.fill_zero(*stream_);
  return out;
}

Value Context::use(Parameter& parameter) {
  if (watch_) watch_(parameter);
  if (tape_) return tape_->use(parameter);
  return Tape::constant(parameter);
}

Value Context::record(TapeEntry entry, const Tensor& output) {
  if (!tape_) return output;
  return std::move(tape_->add(std::move(entry), {&output, 1}).front());
}

std::vector<Value> Context::record(TapeEntry entry, std::span<const Tensor> outputs) {
  if (!tape_) return {outputs.begin(), outputs.end()};
  return tape_->add(std::move(entry), outputs);
}

const StepState* Context::device_state() {
  if (device_state_) return device_state_;
  if (!device().is_cuda()) return device_state_ = state_;
  uploaded_state_ = Tensor::empty({sizeof(StepState)}, DType::u8, device());
  copy_bytes({uploaded_state_.raw(), device()}, {state_, Device::cpu()}, sizeof(StepState));
  return device_state_ = static_cast<const StepState*>(uploaded_state_.raw());
}

void Context::begin_training(const Training& training) {
  mode_ = Mode::train;
  tape_ = training.tape;
  state_ = training.state ? training.state : &first_step;
  device_state_ = training.device_state;
  peers_ = training.peers ? training.peers : &single_peer();
  first_sample_ = training.first_sample;
  global_rows_ = training.global_rows;
  layer_ = 0;
}

void Context::begin_eval() {
  mode_ = Mode::eval;
  tape_ = nullptr;
  state_ = &first_step;
  device_state_ = nullptr;
  peers_ = &single_peer();
  layer_ = 0;
}

}  // namespace trireme
