// What a data set on disk is (docs/formats.md): a folder with index.json and shard files. This header has the index as
// plain values and its text form; nothing here reads samples.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/json.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/shape.hpp"

namespace trireme {

inline constexpr std::string_view dataset_format = "trireme-dataset";
inline constexpr std::string_view shard_format = "trireme-shard";
inline constexpr std::int64_t dataset_version = 1;
/// Of indexes with packed arrays, which older programs cannot read.
inline constexpr std::int64_t packed_dataset_version = 2;
inline constexpr const char* checksum_attribute = "xxh3_128";

/// One named value of every sample.
struct FieldSpec {
  /// encoded: a value is a PNG or JPEG file, stored as a ragged one of bytes.
  enum class Layout { fixed, ragged, encoded };
  std::string name;
  DType dtype = DType::u8;
  /// Shape of one sample's value; of one element of it where the field is ragged; (H, W, C) that an encoded image is
  /// made to where nothing else is said, C of 1 or 3.
  Shape row;
  Layout layout = Layout::fixed;

  /// Shape of what is stored behind one another.
  Shape stored_row() const { return encoded() ? Shape{} : row; }
  std::int64_t row_bytes() const { return stored_row().elements() * static_cast<std::int64_t>(size_of(dtype)); }
  /// Values have lengths of their own.
  bool ragged() const { return layout != Layout::fixed; }
  bool encoded() const { return layout == Layout::encoded; }
  /// Name of the dataset that holds where each ragged value begins: i64, count + 1 entries.
  std::string offsets_name() const { return name + ".offsets"; }
  friend bool operator==(const FieldSpec&, const FieldSpec&) = default;
};

/// Bytes of a shard file that hold a deflated chunk.
struct StoredChunk {
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

/// A dataset of a shard file: what HDF5 would say about it.
struct StoredArray {
  std::string name;
  DType dtype = DType::u8;
  /// With the number of samples, elements or offsets in front.
  Shape shape;
  /// Byte of the file at which its elements begin; 0 where they are packed.
  std::int64_t offset = 0;
  /// XXH3-128 of its elements.
  std::string checksum;
  /// Rows of a chunk, of which each is shuffled and deflated alone; 0: the elements lie as they are.
  std::int64_t chunk_rows = 0;
  std::vector<StoredChunk> chunks = {};

  bool packed() const { return chunk_rows > 0; }
  /// Of the elements, unpacked.
  std::int64_t bytes() const { return shape.elements() * static_cast<std::int64_t>(size_of(dtype)); }
};

struct ShardEntry {
  std::string file;
  std::int64_t count = 0;
  std::int64_t bytes = 0;
  /// XXH3-128 of the whole file, 32 hexadecimal digits.
  std::string checksum;
  /// All datasets of the file: samples are read without HDF5. Empty in an index of an older version.
  std::vector<StoredArray> arrays = {};
  /// XXH3-128 of all bytes around the arrays, in file order.
  std::string structure = {};
};

struct SplitEntry {
  std::string name;
  std::int64_t count = 0;
  std::vector<ShardEntry> shards;
};

/// What a token set says about its field `tokens`, which holds the documents of the set.
struct TokenSetEntry {
  static constexpr const char* field = "tokens";
  /// All ids are below.
  std::int64_t vocabulary = 0;
  /// Stands behind each document; none where the tokenizer has no such token.
  std::optional<std::int32_t> end_of_text = {};
  /// File in the folder of the set, and Tokenizer::hash() of what it holds.
  std::string tokenizer, tokenizer_hash;

  friend bool operator==(const TokenSetEntry&, const TokenSetEntry&) = default;
};

/// How numbers were brought to one size: stored is (value - mean) / deviation, in the order of the columns. Both empty:
/// stored as they are.
struct Scaling {
  std::vector<double> mean, deviation;

  friend bool operator==(const Scaling&, const Scaling&) = default;
};

/// What a data set made of a table says about its columns.
struct TableEntry {
  std::vector<std::string> features;  ///< Of the field x.
  std::vector<std::string> targets;   ///< Of the field y, or the one of label.
  Scaling feature_scaling = {}, target_scaling = {};

  friend bool operator==(const TableEntry&, const TableEntry&) = default;
};

/// Whether samples of a table with these fields leave open what is to be predicted of them: they have neither numbers
/// (y) nor a class (label). Names of classes then tell a table of classes from one of numbers.
bool leaves_targets_open(const std::vector<FieldSpec>& fields);

struct DatasetIndex {
  std::string name;
  std::vector<FieldSpec> fields;
  std::vector<std::string> class_names;
  std::vector<SplitEntry> splits;
  /// Only of a token set.
  std::optional<TokenSetEntry> tokens = {};
  /// Only of a table.
  std::optional<TableEntry> table = {};
  /// Where the samples come from: importer, date, sources with sizes and hashes. For people; not part of fingerprint().
  Json provenance;

  std::string to_text() const;
  /// XXH3-128 over everything but the provenance and the arrays, which follow from the files: equal for equal content,
  /// whenever and wherever it was imported.
  std::string fingerprint() const;
  /// Reads DIR/index.json; ExitCode::corrupt_input with the file and the wrong entry otherwise.
  static DatasetIndex read(const std::string& folder);
};

/// Throws unless `name` is made of letters, digits, '_' and '-' (names become file and dataset names).
void check_name(std::string_view what, std::string_view name);
/// Throws on bad names, fields of no bytes, and two fields of one name.
void check_fields(const std::vector<FieldSpec>& fields);

}  // namespace trireme
