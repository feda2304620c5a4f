// Where parameters live. An ArenaLayout gives every parameter a range of elements; planes (param, grad, moments) are
// flat buffers that share these offsets, so buckets, optimizers, clipping and checkpoints work on ranges, and nothing
// is ever packed. Parameters of 16 bits have masters in f32, which the optimizer updates and rounds into them;
// gradients have a type of their own. Trained parameters come first, in the order of their first use in a shape-only
// forward pass, which is the reverse of the order in which backward completes them; frozen ones follow behind
// trained_elements().
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/module.hpp"
#include "core/tape/gradient_store.hpp"

namespace trireme {

/// Where a parameter stands in the arena.
struct ArenaEntry {
  std::string name;                  ///< First name in visiting order: the global name.
  std::vector<std::string> aliases;  ///< Further names of the same parameter (tied weights).
  std::string unit;                  ///< The block of the network it belongs to: the name up to the first dot.
  std::int64_t offset = 0;           ///< First element, in all planes.
  std::int64_t count = 0;            ///< Elements.
  Parameter* parameter = nullptr;
};

class ArenaLayout {
 public:
  const std::vector<ArenaEntry>& entries() const { return entries_; }
  /// Entries [0, trained) are trained and have gradients; the rest are frozen.
  std::size_t trained() const { return trained_; }
  /// Elements of planes that trained parameters need (grad, moments), padding included.
  std::int64_t trained_elements() const { return trained_elements_; }
  /// Elements of the param plane.
  std::int64_t elements() const { return elements_; }
  /// Sum of counts, without padding.
  std::int64_t parameters() const;
  DType dtype() const { return dtype_; }
  DType gradient_dtype() const { return gradient_dtype_; }
  /// Of masters, moments and states of modules: f64 for parameters of f64, else f32.
  DType wide_dtype() const { return accum_dtype(dtype_); }

 private:
  friend struct LayoutBuilder;
  std::vector<ArenaEntry> entries_;
  std::size_t trained_ = 0;
  std::int64_t trained_elements_ = 0, elements_ = 0;
  DType dtype_ = DType::f32, gradient_dtype_ = DType::f32;
};

struct ArenaOptions {
  DType dtype = DType::f32;
  /// Of the gradients: that of the parameters, or f32 for 16-bit ones. Not given: f64 for f64, else f32.
  std::optional<DType> gradient_dtype = std::nullopt;
  /// Every offset and the total are multiples of 128 bytes x shards.
  int shards = 1;
  /// Names for which this says true are frozen: no gradient, no update, no place in the planes of the optimizer.
  std::function<bool(const std::string&)> freeze = nullptr;
};

/// Runs `forward` once on the meta device, where layers learn the shapes of their parameters, to find the order of
/// first use, and lays the module's parameters out. Parameters the pass does not use come last among the trained ones.
/// Afterwards the module is bound to meta tensors.
ArenaLayout plan_arena(Module& module, const ArenaOptions& options, const std::function<void(Context&)>& forward);

/// Flat memory for the values; grad is made where the caller likes (e.g. a window shared by processes).
struct Planes {
  Tensor param;        ///< (layout.elements()), what the network computes with.
  Tensor grad;         ///< (layout.trained_elements())
  Tensor master = {};  ///< As param, in f32; null where param is f32 or f64 itself.

  /// The parameters unrounded: what is updated, saved and exported.
  const Tensor& values() const { return master ? master : param; }
};

/// Allocates the planes: param and master from the system, grad from `gradient_memory`. Padding is zero.
Planes allocate_planes(const ArenaLayout& layout, Device device, Allocator& gradient_memory);

/// Binds every parameter and state of the module to storage and draws the first values: element i of a parameter
/// depends on (seed, global name, i) alone, so any number of processes and shards gets the same weights, and those of
/// 16 bits are the rounded ones of f32.
void materialize(Module& module, const ArenaLayout& layout, const Planes& planes, std::uint64_t seed);

/// After the masters were changed by other means than an optimizer: rounds all of them into the parameters. Nothing is
/// done where there are none.
void round_masters(const Stream& stream, const Planes& planes);

/// Draws values [first, first + count) of a parameter on the host.
void draw(const ArenaEntry& entry, std::uint64_t seed, std::int64_t first, std::span<double> out);

/// The default store: ranges of the grad plane. The first contribution of a step overwrites, later ones add; what was
/// never touched is zeroed by finish(). begin() starts a step, which may consist of several backward passes.
class PlaneGradients : public GradientStore {
 public:
  PlaneGradients(const ArenaLayout& layout, Tensor grad);
  void begin();
  Destination acquire(Parameter& parameter) override;
  void ready(Parameter&) override {}
  /// Zeroes the ranges nobody wrote.
  void finish();
  /// The gradient of one entry.
  Tensor gradient(std::size_t entry) const;
  bool touched(std::size_t entry) const { return touched_[entry] != 0; }
  /// 1 for each entry that was acquired since begin().
  const std::vector<char>& touched() const { return touched_; }
  void set_touched(const std::vector<char>& entries) { touched_ = entries; }

 private:
  const ArenaLayout* layout_;
  Tensor grad_;
  std::vector<char> touched_;
};

}  // namespace trireme
