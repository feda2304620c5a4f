// What a computation runs with: device stream, memory for activations, the tape (or none), train or eval, the step's
// numbers, the peers of a split batch. Passed as the first argument of every op and module.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "core/device/memory.hpp"
#include "core/device/stream.hpp"
#include "core/tape/peers.hpp"
#include "core/tape/step_state.hpp"
#include "core/tape/tape.hpp"

namespace trireme {

enum class Mode : std::uint8_t { train, eval };

/// How a GPU multiplies f32 matrices: in full, or with operands rounded to 10 bits of mantissa (TF32), sums in f32. A
/// CPU has full products only.
enum class ProductMath : std::uint8_t { full, tf32 };

class Context {
 public:
  /// Eval mode, no tape, one part. `stream` and `memory` must outlive the context and be of the same device.
  Context(const Stream& stream, Allocator& memory) : stream_(&stream), memory_(&memory) { begin_eval(); }

  const Stream& stream() const { return *stream_; }
  Device device() const { return stream_->device(); }
  bool on_meta() const { return device().is_meta(); }
  Mode mode() const { return mode_; }
  bool training() const { return mode_ == Mode::train; }
  Peers& peers() const { return *peers_; }
  /// The step's numbers for the host.
  const StepState& state() const { return *state_; }
  /// The step's numbers for kernels, in memory of this context's device: what begin_training() was given; without that,
  /// state() itself on a CPU and on a GPU a copy of it, made at the first call of a pass.
  const StepState* device_state();
  Tape* tape() const { return tape_; }
  /// For f32 products and convolutions; kept over passes.
  ProductMath product_math() const { return product_math_; }
  void set_product_math(ProductMath math) { product_math_ = math; }
  /// Position in the sample stream of row 0 of this part's batch: random draws are keyed by it.
  std::int64_t first_sample() const { return first_sample_; }
  /// Rows of the whole batch over all parts.
  std::int64_t global_rows() const { return global_rows_; }
  /// Numbers the layers that draw random numbers, in the order they run; the same in every part.
  std::uint32_t next_layer() { return layer_++; }

  /// Names what follows in the accounts of the step's memory.
  void set_label(const std::string& label) { memory_->set_label(label); }
  /// Throws unless `tensor`, which is `what` of `op`, lies where this context computes. A null handle and a context
  /// that only plans (meta) are fine.
  void require_here(const char* op, const char* what, const Tensor& tensor) const;
  /// Memory of the step for a result.
  Tensor empty(const Shape& shape, DType dtype);
  Tensor zeros(const Shape& shape, DType dtype);

  /// The parameter as a value: through the tape when there is one. Tells the plan of its first use.
  Value use(Parameter& parameter);
  /// Remembers how `output` came to be. Without a tape, or when no input needs a gradient, a constant is returned.
  Value record(TapeEntry entry, const Tensor& output);
  std::vector<Value> record(TapeEntry entry, std::span<const Tensor> outputs);

  /// A training pass: records on `tape`. `state` must outlive the pass.
  struct Training {
    Tape* tape = nullptr;
    const StepState* state = nullptr;
    Peers* peers = nullptr;
    std::int64_t first_sample = 0;
    std::int64_t global_rows = 0;
    const StepState* device_state = nullptr;  ///< In the device's memory, equal to `state` when the work runs.
  };
  void begin_training(const Training& training);
  void begin_eval();
  /// Runs a part of a pass on another tape, or on none, with the numbering of random layers from `first_layer` on;
  /// destroying it goes back.
  class Detour {
   public:
    Detour(Context& context, Tape* tape, std::uint32_t first_layer)
        : context_(context),
          tape_(std::exchange(context.tape_, tape)),
          layer_(std::exchange(context.layer_, first_layer)) {}
    ~Detour() {
      context_.tape_ = tape_;
      context_.layer_ = layer_;
    }
    Detour(const Detour&) = delete;
    Detour& operator=(const Detour&) = delete;

   private:
    Context& context_;
    Tape* tape_;
    std::uint32_t layer_;
  };
  std::uint32_t layers_numbered() const { return layer_; }
  void skip_layers_to(std::uint32_t layer) { layer_ = layer; }
  /// Called with every parameter at each use (the shape-only pass that plans the arena).
  void on_use(std::function<void(Parameter&)> watch) { watch_ = std::move(watch); }

 private:
  const Stream* stream_;
  Allocator* memory_;
  Mode mode_ = Mode::eval;
  ProductMath product_math_ = ProductMath::full;
  Tape* tape_ = nullptr;
  const StepState* state_ = nullptr;
  const StepState* device_state_ = nullptr;
  Tensor uploaded_state_;
  Peers* peers_ = nullptr;
  std::int64_t first_sample_ = 0, global_rows_ = 0;
  std::uint32_t layer_ = 0;
  std::function<void(Parameter&)> watch_;
};

}  // namespace trireme
