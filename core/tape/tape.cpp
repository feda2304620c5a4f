#include "core/tape/tape.hpp"

#include "core/base/activity.hpp"
#include "core/base/profile.hpp"
#include "core/kernels/accumulate.hpp"
#include "core/kernels/launch.hpp"
#include "core/tape/context.hpp"
#include "core/tape/write.hpp"

namespace trireme {

const Tensor& Saved::get() const {
  if (!value_.parameter() && value_.tensor().version() != version_)
    fail(ExitCode::failure, "backward needs a tensor {} that was changed in place after it was recorded",
         value_.shape());
  return value_.tensor();
}

int Tape::new_slot(const Shape& shape, DType dtype) {
  slots_.push_back({.shape = shape, .dtype = dtype, .parameter = nullptr, .gradient = {}, .uses = 0, .leaf = false});
  return static_cast<int>(slots_.size()) - 1;
}

Value Tape::constant(Parameter& parameter) {
  Value value;
  value.parameter_ = &parameter;
  return value;
}

Value Tape::use(Parameter& parameter) {
  Value value = constant(parameter);
  if (parameter.training() == Training::frozen) return value;
  const auto [at, fresh] = parameter_slots_.try_emplace(&parameter, 0);
  if (fresh) {
    at->second = new_slot(parameter.shape(), parameter.value().dtype());
    slots_.back().parameter = &parameter;
  }
  value.slot_ = at->second;
  return value;
}

Value Tape::watch(Tensor tensor) {
  Value value(std::move(tensor));
  value.slot_ = new_slot(value.shape(), value.dtype());
  slots_.back().leaf = true;
  return value;
}

Tensor Tape::gradient_of(const Value& leaf) const {
  require(leaf.slot_ >= 0 && slots_.at(static_cast<std::size_t>(leaf.slot_)).leaf,
          "gradient_of: only values made by watch() keep their gradient");
  return slots_[static_cast<std::size_t>(leaf.slot_)].gradient;
}

std::vector<Value> Tape::add(TapeEntry entry, std::span<const Tensor> outputs) {
  beat();
  bool needed = false;
  for (const Value& input : entry.inputs) needed = needed || input.needs_gradient();
  std::vector<Value> values(outputs.begin(), outputs.end());
  if (!needed) return values;
  Record record{
      entry.name, {}, static_cast<int>(slots_.size()), static_cast<int>(outputs.size()), std::move(entry.gradient)};
  for (const Value& input : entry.inputs) {
    record.inputs.push_back(input.slot_);
    if (input.slot_ >= 0) ++slots_[static_cast<std::size_t>(input.slot_)].uses;
  }
  for (Value& value : values) value.slot_ = new_slot(value.shape(), value.dtype());
  records_.push_back(std::move(record));
  return values;
}

bool Tape::arrived(const Record& record) const {
  for (int k = 0; k < record.outputs; ++k)
    if (slots_[static_cast<std::size_t>(record.first_output + k)].gradient) return true;
  return false;
}

void Tape::finish(const Record& record) {
  for (int k = 0; k < record.outputs; ++k) slots_[static_cast<std::size_t>(record.first_output + k)].gradient = {};
  for (const int input : record.inputs) {
    if (input < 0) continue;
    Slot& slot = slots_[static_cast<std::size_t>(input)];
    if (--slot.uses == 0 && slot.parameter) store_->ready(*slot.parameter);
  }
}

Tape::Slot& Tape::slot_of(const Value& value) {
  require(static_cast<std::size_t>(value.slot_) < slots_.size(),
          "backward: the records of this value are gone, after clear() or a backward that failed; run forward again");
  return slots_[static_cast<std::size_t>(value.slot_)];
}

void Tape::backward(Context& context, const Value& loss, double seed) {
  if (loss.slot_ >= 0) {
    Slot& slot = slot_of(loss);
    slot.gradient = context.empty(slot.shape, slot.dtype);
    with_floating(slot.dtype, "backward", [&](auto zero) {
      using T = decltype(zero);
      launch_elements(context.stream(), slot.shape.elements(),
                      kernels::Seed<T>{slot.gradient.data<T>(), context.device_state(), seed});
    });
  }
  walk(context);
}

/// Before it is written to: a copy, where others hold it too.
void Tape::own_gradient(Context& context, Slot& slot) {
  if (!slot.gradient || !shared(slot.gradient)) return;
  const Tensor own = context.empty(slot.shape, slot.dtype);
  write(context.stream(), {slot.gradient}, {own, Write::overwrite});
  slot.gradient = own;
}

void Tape::add_gradient(Context& context, Slot& slot, Tensor gradient) {
  if (!slot.gradient) {
    slot.gradient = gradient.reshape(slot.shape);
    return;
  }
  own_gradient(context, slot);
  write(context.stream(), {gradient}, {slot.gradient, Write::accumulate});
}

void Tape::backward(Context& context, std::span<const Value> outputs, std::span<Tensor> gradients) {
  require(outputs.size() == gradients.size(), "backward from {} values with {} gradients: give one for each",
          outputs.size(), gradients.size());
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (outputs[k].slot_ < 0 || !gradients[k]) continue;
    add_gradient(context, slot_of(outputs[k]), std::exchange(gradients[k], {}));
  }
  walk(context);
}

void Tape::walk(Context& context) {
  try {
    walk_records(context);
  } catch (...) {
    clear();  // gradient functions consume what they saved, so what is left would give other numbers
    throw;
  }
  for (Slot& slot : slots_)
    if (!slot.leaf) slot.gradient = {};
  parameter_slots_.clear();
}

void Tape::walk_records(Context& context) {
  while (!records_.empty()) {
    Record& record = records_.back();
    beat();
    if (arrived(record)) {
      const ProfileSpan span(record.name, ProfileSpan::Kind::op);
      Gradients gradients(*this, context, records_.size() - 1);
      record.gradient(context, gradients);
      gradients.settle();
    }
    record.gradient = nullptr;  // frees what it saved before the next record allocates
    finish(record);
    records_.pop_back();
  }
}

void Tape::clear() {
  records_.clear();
  slots_.clear();
  parameter_slots_.clear();
}

const Tensor& Gradients::output(int k) {
  Tape::Slot& slot = tape_.slots_[static_cast<std::size_t>(tape_.records_[record_].first_output + k)];
  if (!slot.gradient) slot.gradient = context_.zeros(slot.shape, slot.dtype);
  return slot.gradient;
}

Tensor Gradients::take_output(int k) {
  return std::exchange(tape_.slots_[static_cast<std::size_t>(tape_.records_[record_].first_output + k)].gradient, {});
}

bool Gradients::arrived(int k) const {
  return static_cast<bool>(tape_.slots_[static_cast<std::size_t>(tape_.records_[record_].first_output + k)].gradient);
}

Tensor Gradients::reusable(int k) {
  const Tensor& gradient = output(k);
  return Tape::shared(gradient) ? context_.empty(gradient.shape(), gradient.dtype()) : gradient;
}

bool Gradients::wanted(int k) const { return tape_.records_[record_].inputs.at(static_cast<std::size_t>(k)) >= 0; }

Destination Gradients::to(int k) {
  const Destination stored = to_stored(k);
  const Tape::Slot& slot =
      tape_.slots_[static_cast<std::size_t>(tape_.records_[record_].inputs[static_cast<std::size_t>(k)])];
  if (stored.tensor.dtype() == slot.dtype) return stored;
  unsettled_.emplace_back(context_.empty(slot.shape, slot.dtype), stored);
  return {unsettled_.back().first, Write::overwrite};
}

void Gradients::settle() {
  for (const auto& [written, to] : unsettled_) write(context_.stream(), {written}, to);
}

Destination Gradients::to_stored(int k) {
  const int input = tape_.records_[record_].inputs.at(static_cast<std::size_t>(k));
  require(input >= 0, "{}: the gradient of input {} was asked for, but nothing wants it", tape_.records_[record_].name,
          k);
  Tape::Slot& slot = tape_.slots_[static_cast<std::size_t>(input)];
  if (slot.parameter) return tape_.store_->acquire(*slot.parameter);
  Tape::own_gradient(context_, slot);
  if (slot.gradient) return {slot.gradient, Write::accumulate};
  slot.gradient = context_.empty(slot.shape, slot.dtype);
  return {slot.gradient, Write::overwrite};
}

void Gradients::hand_over(int k, Tensor gradient) {
  const int input = tape_.records_[record_].inputs.at(static_cast<std::size_t>(k));
  Tape::Slot& slot = tape_.slots_[static_cast<std::size_t>(input)];
  if (!slot.parameter) return tape_.add_gradient(context_, slot, std::move(gradient));
  write(context_.stream(), {gradient}, to_stored(k));
}

}  // namespace trireme
