// Automatic differentiation by a tape: records of the operations in the order they ran. backward() walks them in
// reverse and drops each: no graph search, and the same order in every process that ran the same program. A gradient
// function writes into destinations it is given (core/tape/gradient_store.hpp), so nothing is zeroed, packed or copied.
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/tape/gradient_store.hpp"
#include "core/tape/parameter.hpp"
#include "core/tensor/tensor.hpp"

namespace trireme {

class Context;

/// A tensor in a computation: a constant, an output of a record, or a parameter (resolved to storage at each use).
class Value {
 public:
  Value() = default;
  /// A constant: no gradient flows to it.
  Value(Tensor tensor) : tensor_(std::move(tensor)) {}  // NOLINT: constants are written in place
  const Tensor& tensor() const { return parameter_ ? parameter_->value() : tensor_; }
  const Shape& shape() const { return tensor().shape(); }
  DType dtype() const { return tensor().dtype(); }
  std::int64_t elements() const { return tensor().elements(); }
  /// Null unless this is a parameter.
  Parameter* parameter() const { return parameter_; }
  bool needs_gradient() const { return slot_ >= 0; }

 private:
  friend class Tape;
  Tensor tensor_;
  Parameter* parameter_ = nullptr;
  int slot_ = -1;
};

/// A value a gradient function needs again: throws at backward if it was changed in place since it was saved.
class Saved {
 public:
  explicit Saved(const Value& value) : value_(value), version_(value.parameter() ? 0 : value.tensor().version()) {}
  const Tensor& get() const;
  const Value& value() const { return value_; }

 private:
  Value value_;
  std::uint64_t version_;
};

/// What a gradient function sees: the gradients of its record's outputs, and places for those of its inputs.
class Gradients {
 public:
  /// The gradient that arrived at output k; zeros where none did. Other values may share its memory: read only.
  const Tensor& output(int k = 0);
  /// The same, given away: a null handle where none arrived.
  Tensor take_output(int k = 0);
  /// Whether a gradient arrived at output k at all.
  bool arrived(int k) const;
  /// Memory for a result of output(k)'s shape and type: that of output(k) itself, to be changed in place, where nobody
  /// else holds it.
  Tensor reusable(int k = 0);
  /// Whether input k wants a gradient at all.
  bool wanted(int k) const;
  /// Where to write the gradient of input k, and how. Call once per input, and then write every element. It has the
  /// input's type: where the store keeps a parameter's gradient in another, what is written is added there afterwards.
  Destination to(int k);
  /// The same as the store has it, in whatever type: for those that can write f32 sums of 16-bit elements at once.
  Destination to_stored(int k);
  /// Gives a whole tensor as the gradient of input k: shared if it is the first contribution, else added. One tensor
  /// (or output()) may be handed to several inputs: whoever adds to it or overwrites it later copies it while others
  /// hold it.
  void hand_over(int k, Tensor gradient);

 private:
  friend class Tape;
  Gradients(class Tape& tape, Context& context, std::size_t record) : tape_(tape), context_(context), record_(record) {}
  void settle();

  class Tape& tape_;
  Context& context_;
  std::size_t record_;
  /// What was written in the type of a parameter, and where it belongs.
  std::vector<std::pair<Tensor, Destination>> unsettled_;
};

using GradientFunction = std::function<void(Context&, Gradients&)>;

/// Something an op asks the tape to remember; see Context::record.
struct TapeEntry {
  const char* name;
  std::span<const Value> inputs;
  GradientFunction gradient;
};

class Tape {
 public:
  /// `store` takes the gradients of parameters; it must outlive the tape.
  explicit Tape(GradientStore& store) : store_(&store) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// The parameter as an input of ops; frozen ones become constants.
  Value use(Parameter& parameter);
  /// The parameter as a constant, for passes without a tape.
  static Value constant(Parameter& parameter);
  /// A leaf whose gradient is kept (for gradient checks, adversarial inputs); read it with gradient_of after backward.
  Value watch(Tensor tensor);
  /// Null handle when nothing flowed there.
  Tensor gradient_of(const Value& leaf) const;

  /// Appends a record with the given outputs when any input needs a gradient; returns the outputs as values.
  std::vector<Value> add(TapeEntry entry, std::span<const Tensor> outputs);
  std::size_t records() const { return records_.size(); }

  /// Starts with d(loss) = `seed` times the step's loss scale (Context::state()) for every element of `loss`, walks all
  /// records in reverse and drops them. Every
  /// parameter used gets exactly one GradientStore::ready, in an order that depends on the records alone.
  void backward(Context& context, const Value& loss, double seed);
  /// The same for several values whose gradients are given; null handles stand for zeros. The tape may overwrite them.
  void backward(Context& context, std::span<const Value> outputs, std::span<Tensor> gradients);
  /// Forgets everything without a backward pass; a backward in which a gradient function throws does so, too.
  void clear();

 private:
  friend class Gradients;
  struct Slot {
    Shape shape;
    DType dtype{};
    Parameter* parameter = nullptr;
    Tensor gradient;
    int uses = 0;
    bool leaf = false;
  };
  struct Record {
    const char* name;
    std::vector<int> inputs;
    int first_output, outputs;
    GradientFunction gradient;
  };
  int new_slot(const Shape& shape, DType dtype);
  static bool shared(const Tensor& gradient) { return gradient.buffer().use_count() > 1; }
  bool arrived(const Record& record) const;
  void add_gradient(Context& context, Slot& slot, Tensor gradient);
  static void own_gradient(Context& context, Slot& slot);
  Slot& slot_of(const Value& value);
  void walk(Context& context);
  void walk_records(Context& context);
  void finish(const Record& record);

  GradientStore* store_;
  std::vector<Slot> slots_;
  std::vector<Record> records_;
  std::unordered_map<Parameter*, int> parameter_slots_;
};

}  // namespace trireme
