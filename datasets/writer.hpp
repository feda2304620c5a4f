// Writes a data set (docs/formats.md) front to back with bounded memory: fixed fields go straight to the shard file,
// ragged ones to a file beside it until their shard is full. Nothing is visible under the target's name before
// finish().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/format.hpp"
#include "datasets/staged_folder.hpp"

namespace trireme {

struct WriterOptions {
  std::string folder;
  /// Empty: the folder's own name.
  std::string name = {};
  std::vector<FieldSpec> fields = {};
  std::vector<std::string> class_names = {};
  /// Samples per shard; 0: as many as 256 MiB of fixed fields and of offsets hold.
  std::int64_t shard_rows = 0;
  /// Where the number of samples is not announced: a shard ends with the sample that reaches so many bytes of values.
  std::int64_t shard_bytes = std::int64_t{256} << 20;
  /// Of a token set.
  std::optional<TokenSetEntry> tokens = {};
  /// Of a table.
  std::optional<TableEntry> table = {};
  /// 1 (fast) to 9 (small): fixed fields are stored in deflated chunks; 0: as they are.
  std::int64_t compress = 0;
  Existing existing = Existing::refuse;
};

/// Values of one field for some consecutive samples.
struct FieldBlock {
  const void* data = nullptr;
  /// Ragged fields only: how many elements each sample has.
  std::span<const std::int64_t> lengths = {};
};

class DatasetWriter {
 public:
  explicit DatasetWriter(WriterOptions options);
  /// Without finish() everything written is removed.
  ~DatasetWriter();

  /// Starts a split of exactly `rows` > 0 samples.
  void begin_split(const std::string& name, std::int64_t rows);
  /// `rows` samples, one block per field in the order of WriterOptions::fields.
  void append(std::int64_t rows, std::span<const FieldBlock> blocks);

  /// Starts a split of as many samples as will come. For data sets of one field, which is ragged.
  void begin_split(const std::string& name);
  /// Some more elements of the sample that end_sample() ends. Only in such a split.
  void extend(const void* data, std::int64_t elements);
  void end_sample();

  /// A file of the data set that is no shard.
  void add_file(const std::string& name, std::string_view text);
  /// Completes the last split, writes the index and publishes the folder. Returns the index.
  DatasetIndex finish(Json provenance);

 private:
  class Shard;
  void start_split(const std::string& name, std::int64_t rows);
  void begin_shard();
  void end_shard();
  void end_split();

  WriterOptions options_;
  StagedFolder staged_;
  DatasetIndex index_;
  std::unique_ptr<Shard> shard_;
  std::int64_t shard_rows_ = 0;
  static constexpr std::int64_t not_announced = -1;
  std::int64_t split_rows_ = 0, written_ = 0;
  bool sample_open_ = false;
};

}  // namespace trireme
