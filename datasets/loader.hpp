// Batches of samples, prepared ahead by threads into a fixed set of slots. What batch k holds is a pure function of the
// source, the options and k; threads only decide when it is ready. The whole position of a loader is one number, the
// first sample of its next batch in the global stream: a new loader started there continues as if nothing had happened.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/device/stream.hpp"
#include "core/tensor/tensor.hpp"
#include "datasets/pair_mixing.hpp"
#include "datasets/sample_source.hpp"
#include "datasets/transform.hpp"

namespace trireme {

/// train: the endless shuffled stream. evaluate: every sample once, in order; the last call is filled up with rows
/// of weight 0 (no_sample), so that all parts make equally many calls of equal shapes.
enum class Pass { train, evaluate };

struct FieldTransforms {
  std::string field;
  TransformList list;
};

struct LoaderOptions {
  /// Global samples per batch. train: this part gets its part_rows(). evaluate: rounded up to a multiple of the parts.
  std::int64_t batch = 0;
  int part = 0;
  int parts = 1;
  std::uint64_t seed = 0;
  Pass pass = Pass::train;
  /// Of the training stream.
  Order order = Order::shuffled;
  ShuffleBlocks blocks = {};
  /// 0: next() does the work itself.
  int threads = 1;
  /// Batches prepared ahead.
  int depth = 4;
  /// Batches the caller may hold at once.
  int held = 2;
  /// Position of the first batch.
  std::uint64_t start = 0;
  /// Fields to load, all the source has where empty.
  std::vector<std::string> fields = {};
  std::vector<FieldTransforms> transforms = {};
  /// After all transforms, of a training stream; an evaluation is never mixed.
  PairMixing mixing = {};
  /// Batches are copied to the memory of this stream's device, one ahead, and may be used by work queued on it; the
  /// caller may hold one at a time, and all lie at the same addresses. It outlives the loader. Null: host memory.
  const Stream* stream = nullptr;
};

namespace detail {
class DeviceFeed;
class LoaderCore;
struct LoaderSlot;
}  // namespace detail

/// One batch. Destroying it gives its memory back to the loader: tensors taken from it are valid only until then.
/// Move-only; may outlive the loader.
class Batch {
 public:
  Batch(Batch&&) noexcept = default;
  Batch& operator=(Batch&& other) noexcept;
  ~Batch();

  /// (rows, dims of the field after its transforms); throws for a field that was not asked for.
  const Tensor& field(std::string_view name) const;
  /// f32 (rows): 1 for a sample, 0 for filling. Always 1 in training.
  const Tensor& weight() const;
  std::int64_t rows() const;
  /// Position in the global stream of the first sample of the *global* batch, and of this part's first row.
  std::uint64_t first_position() const;
  std::uint64_t first_row_position() const;

 private:
  friend class Loader;
  Batch(std::shared_ptr<detail::LoaderCore> core, std::shared_ptr<detail::DeviceFeed> feed, detail::LoaderSlot* slot)
      : core_(std::move(core)), feed_(std::move(feed)), slot_(slot) {}
  void release() noexcept;
  std::shared_ptr<detail::LoaderCore> core_;
  std::shared_ptr<detail::DeviceFeed> feed_;
  detail::LoaderSlot* slot_;
};

class Loader {
 public:
  /// ExitCode::usage for options that do not fit together, corrupt_input for no samples.
  Loader(Samples samples, LoaderOptions options);
  /// Stops the threads at once, wherever they are.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch. Throws what preparing it threw (and then every time); throws where the caller holds more batches
  /// than LoaderOptions::held, and after the last batch of an evaluation.
  Batch next();
  /// Evaluation: nothing is left. Training: never.
  bool finished() const;
  /// Position of the next batch's first sample: the only thing to save.
  std::uint64_t position() const;
  /// Samples of the stream that one batch advances by.
  std::int64_t global_batch() const;
  /// Batches of one epoch, the last one counted whole.
  std::int64_t batches_per_epoch() const;
  /// Seconds that next() has waited or worked, over all calls.
  double waited_seconds() const;

 private:
  std::uint64_t next_ticket() const;
  std::shared_ptr<detail::LoaderCore> core_;
  std::shared_ptr<detail::DeviceFeed> feed_;
};

}  // namespace trireme
