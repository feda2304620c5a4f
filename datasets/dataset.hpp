// An opened data set: splits of samples whose fields are read by mapping the shard files at the offsets of their
// contiguous datasets, which the index has (see datasets/shard_file.hpp), or copied out of deflated chunks. Any number
// of threads may read rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/mapped_file.hpp"
#include "datasets/format.hpp"
#include "datasets/packed_field.hpp"
#include "datasets/sample_source.hpp"

namespace trireme {

/// The value of a ragged field of one sample.
struct RaggedRow {
  const std::byte* data = nullptr;
  std::int64_t elements = 0;
};

/// The samples of one split. Its sample_fields() are the fixed ones and those of encoded images.
class Split : public SampleSource {
 public:
  Split(const std::string& folder, const DatasetIndex& index, const SplitEntry& entry);

  const std::string& name() const override { return name_; }
  /// See DatasetIndex::fingerprint(): two processes that read the same data have the same.
  const std::string& fingerprint() const override { return fingerprint_; }
  std::int64_t count() const override { return count_; }
  const std::vector<SampleField>& sample_fields() const override { return sample_fields_; }
  int sample_field(std::string_view name) const override;
  bool makes_rows() const override { return packed_; }
  void rows(const RowRequest& request) const override;
  const std::vector<FieldSpec>& fields() const { return fields_; }
  /// What the index says about the tokens of a token set.
  const std::optional<TokenSetEntry>& tokens() const { return tokens_; }
  /// What the index says about the columns of a table.
  const std::optional<TableEntry>& table() const { return table_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  /// Place of a field in fields(); throws with the names there are.
  int field_index(std::string_view name) const;
  /// Copies the row_bytes() bytes of a fixed field of sample `row` in [0, count()).
  void copy_row(int field, std::int64_t row, std::byte* out) const;
  /// Where they lie, aligned to a byte only. Only of a field that is not packed.
  const std::byte* row(int field, std::int64_t row) const {
    const Shard& shard = shard_of(row);
    const Column& column = shard.columns[static_cast<std::size_t>(field)];
    if (column.packed) refuse_packed(field);
    return column.data + (row - shard.first) * column.row_bytes;
  }
  /// The value of a ragged field; throws corrupt_input where its offsets are not increasing or leave the data.
  RaggedRow ragged(int field, std::int64_t row) const;
  /// All elements of a ragged field in one shard, and where its samples begin in them.
  struct RaggedShard {
    const std::byte* data = nullptr;
    std::int64_t elements = 0;
    std::int64_t samples = 0;
    const std::byte* offsets = nullptr;  ///< i64, samples + 1 of them, aligned to a byte only.
    std::string path;
  };
  std::vector<RaggedShard> ragged_shards(int field) const;

 private:
  struct Column {
    const std::byte* data = nullptr;
    const std::byte* offsets = nullptr;
    std::int64_t row_bytes = 0;
    std::int64_t elements = 0;
    std::unique_ptr<PackedField> packed = nullptr;
  };
  struct Shard {
    std::int64_t first = 0;
    std::int64_t count = 0;
    MappedFile map;
    std::vector<Column> columns;
    std::string path;
  };
  [[noreturn]] void refuse_packed(int field) const;
  void open_shard(const std::string& path, const ShardEntry& entry);
  /// All shards but the last have equally many samples, as the writer makes them, or else they are searched.
  const Shard& shard_of(std::int64_t row) const {
    if (shards_.size() == 1) return shards_.front();
    if (stride_ > 0) return shards_[static_cast<std::size_t>(row / stride_)];
    return search(row);
  }
  const Shard& search(std::int64_t row) const;

  std::string name_, fingerprint_;
  std::int64_t count_ = 0;
  std::vector<FieldSpec> fields_;
  std::vector<SampleField> sample_fields_;
  std::vector<int> stored_;  // place in fields_ of each of sample_fields_
  std::vector<std::string> class_names_;
  std::optional<TokenSetEntry> tokens_;
  std::optional<TableEntry> table_;
  std::unique_ptr<ChunkCache> cache_ = std::make_unique<ChunkCache>();
  std::deque<Shard> shards_;  // a deque: packed fields know where their shard's map is
  bool packed_ = false;
  std::int64_t stride_ = 0;
};

/// A data set folder.
class Dataset {
 public:
  /// Reads the index. ExitCode::corrupt_input for anything that is not a data set.
  static Dataset open(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const DatasetIndex& index() const { return index_; }
  const std::vector<std::string>& class_names() const { return index_.class_names; }
  /// See DatasetIndex::fingerprint().
  std::string fingerprint() const { return index_.fingerprint(); }
  bool has_split(std::string_view name) const;
  /// Opens and checks the shards of a split; an empty or unknown split is an Error.
  std::shared_ptr<const Split> split(std::string_view name) const;

 private:
  std::string folder_;
  DatasetIndex index_;
};

}  // namespace trireme
