// Fills the tensors of one batch from a source of samples: the part of the loader that knows samples but not threads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "datasets/loader.hpp"

namespace trireme::detail {

/// The memory of one batch.
struct LoaderSlot {
  std::vector<Tensor> fields;
  Tensor weight;
  std::uint64_t first_position = 0;
  std::uint64_t first_row_position = 0;
};

/// Everything about a loader that never changes; shared by its threads.
class BatchPlan {
 public:
  BatchPlan(Samples samples, LoaderOptions options);

  const LoaderOptions& options() const { return options_; }
  const SampleSource& samples() const { return *samples_; }
  const Sampler& sampler() const { return sampler_; }
  std::int64_t global_batch() const { return global_batch_; }
  PartRows rows() const { return rows_; }
  std::uint64_t position_of(std::uint64_t ticket) const {
    return options_.start + ticket * static_cast<std::uint64_t>(global_batch_);
  }
  /// Evaluation: the batch would begin behind the last sample.
  bool past_end(std::uint64_t ticket) const;
  int place_of(std::string_view field) const;
  /// The memory of one batch, of any device.
  LoaderSlot make_slot(Allocator& memory) const;

  struct Column {
    int field;  // of the source
    RowType in;
    TransformList list;
  };
  const std::vector<Column>& columns() const { return columns_; }

  /// Where samples are mixed in pairs: by what, which columns, and at which places of a slot the result is.
  struct Pairs {
    PairMixer mixer;
    std::size_t image, label;             // of columns()
    std::size_t label2, weight, weight2;  // of LoaderSlot::fields
  };
  const std::optional<Pairs>& pairs() const { return pairs_; }

 private:
  void add_column(const std::string& name);
  void add_pairs();

  Samples samples_;
  LoaderOptions options_;
  Sampler sampler_;
  std::int64_t global_batch_ = 0;
  PartRows rows_;
  std::vector<Column> columns_;
  std::vector<std::string> names_;  // of the columns, then of what pairs add
  std::optional<Pairs> pairs_;
};

/// Fills slots; one per thread, because it keeps scratch memory.
class BatchFiller {
 public:
  explicit BatchFiller(const BatchPlan& plan);
  /// Prepares batch `ticket` (0 is the one at LoaderOptions::start). Returns early, with the slot half filled, once
  /// `stop` is set.
  void fill(std::uint64_t ticket, LoaderSlot& slot, const std::atomic<bool>& stop);

 private:
  void choose_rows(std::uint64_t ticket, LoaderSlot& slot);
  void transform_row(std::size_t column, std::size_t row, std::byte* out, std::uint64_t position);
  void fill_column(std::size_t column, LoaderSlot& slot, const std::atomic<bool>& stop);
  std::byte* room_for(std::size_t column, std::byte* out);
  /// Where row `row` of samples_ goes: into the slot, or beside it.
  std::byte* place_of(std::size_t column, LoaderSlot& slot, std::size_t row);
  void mix_pairs(LoaderSlot& slot, const std::atomic<bool>& stop);

  const BatchPlan& plan_;
  std::uint64_t seed_;
  std::vector<TransformChain> chains_;
  // Samples of this part's rows; before and behind them those of the neighbours that another part has.
  std::vector<std::int64_t> samples_;
  std::size_t lead_ = 0;
  std::vector<std::array<std::vector<std::byte>, 2>> beside_;  // by column: the row before the part's, and behind
  std::vector<std::byte> unmixed_;
  std::vector<const std::byte*> rows_;
  std::vector<std::int64_t> lengths_;  // of the rows, where they are encoded
  std::vector<std::byte> made_;        // rows that a source makes and transforms take in
};

}  // namespace trireme::detail
