#include "datasets/writer.hpp"

#include <algorithm>
#include <filesystem>

#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "core/io/hash.hpp"
#include "core/io/hdf5.hpp"
#include "core/io/mapped_file.hpp"
#include "datasets/packed_field.hpp"
#include "datasets/shard_file.hpp"
#include "datasets/spill_file.hpp"

namespace trireme {
namespace {

constexpr std::int64_t default_shard_bytes = std::int64_t{256} << 20;
/// A sample that is wanted alone costs unpacking its chunk: not many of them go into one.
constexpr std::int64_t chunk_bytes = std::int64_t{64} << 10;
constexpr std::int64_t copied_bytes = std::int64_t{4} << 20;

/// (count, row dims...).
Shape with_rows(std::int64_t count, const Shape& row) {
  std::vector<std::int64_t> extents{count};
  extents.insert(extents.end(), row.extents().begin(), row.extents().end());
  return Shape(std::span<const std::int64_t>(extents));
}

std::int64_t rows_of_default_shard(const std::vector<FieldSpec>& fields) {
  std::int64_t bytes = 0;
  for (const auto& field : fields) bytes = checked_add(bytes, field.ragged() ? 8 : field.row_bytes());
  return std::max<std::int64_t>(1, default_shard_bytes / bytes);
}

}  // namespace

/// One shard file being written.
class DatasetWriter::Shard {
 public:
  Shard(const std::string& path, const WriterOptions& options, std::int64_t rows)
      : file_(hdf5::File::create(path)),
        fields_(options.fields),
        level_(static_cast<int>(options.compress)),
        rows_(rows),
        columns_(fields_.size()) {
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      if (fields_[f].ragged()) {
        columns_[f].offsets.push_back(0);
        columns_[f].values.emplace(fmt::format("{}.{}", path, fields_[f].name));
      } else if (level_ > 0) {
        columns_[f].chunk_rows = std::clamp<std::int64_t>(chunk_bytes / fields_[f].row_bytes(), 1, rows);
        file_.create_chunked(fields_[f].name, fields_[f].dtype, with_rows(rows, fields_[f].row),
                             {.rows = columns_[f].chunk_rows, .level = level_});
      } else {
        file_.create_dataset(fields_[f].name, fields_[f].dtype, with_rows(rows, fields_[f].row));
      }
    }
  }

  /// Samples that still fit.
  std::int64_t room() const { return rows_ - written_; }
  std::int64_t written() const { return written_; }
  std::int64_t ragged_bytes() const { return columns_.front().values->bytes(); }

  void append_fixed(std::size_t f, std::int64_t rows, const void* data) {
    columns_[f].hasher.update(data, to_size(rows * fields_[f].row_bytes()));
    if (level_ > 0) return append_packed(f, rows, static_cast<const std::byte*>(data));
    file_.write_rows(fields_[f].name, written_, rows, data);
  }

  void append_ragged(std::size_t f, const FieldBlock& block) {
    std::int64_t elements = 0;
    for (const std::int64_t length : block.lengths) {
      require(length >= 0, "a sample of field '{}' has {} elements", fields_[f].name, length);
      elements = checked_add(elements, length);
      columns_[f].offsets.push_back(columns_[f].offsets.back() + length);
    }
    extend(f, elements, block.data);
  }

  void extend(std::size_t f, std::int64_t elements, const void* data) {
    columns_[f].values->append(data, to_size(elements * fields_[f].row_bytes()));
  }

  void end_sample() {
    columns_.front().offsets.push_back(columns_.front().values->bytes() / fields_.front().row_bytes());
    advance(1);
  }

  void advance(std::int64_t rows) { written_ += rows; }

  void close(const std::string& split, const DatasetIndex& index) {
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      if (fields_[f].ragged()) write_ragged(f);
      if (!columns_[f].waiting.empty()) write_chunk(f);
      file_.write_string(fields_[f].name, checksum_attribute, columns_[f].hasher.digest().hex());
    }
    file_.write_string("/", "format", shard_format);
    file_.write_i64("/", "version", dataset_version);
    file_.write_i64("/", "count", written_);
    file_.write_string("/", "split", split);
    file_.write_string("/", "dataset", index.name);
    if (!index.class_names.empty()) file_.write_strings("/", "class_names", index.class_names);
    file_.close();
  }

 private:
  struct Column {
    Hasher hasher;
    std::vector<std::int64_t> offsets;
    std::optional<SpillFile> values;
    // Of a field in chunks: rows of one, how many were written, and the rows of the next one.
    std::int64_t chunk_rows = 0, chunks = 0;
    std::vector<std::byte> waiting;
  };

  void append_packed(std::size_t f, std::int64_t rows, const std::byte* data) {
    Column& column = columns_[f];
    const std::int64_t row = fields_[f].row_bytes(), whole = column.chunk_rows * row;
    for (std::int64_t left = rows * row; left > 0;) {
      const std::int64_t some = std::min(left, whole - std::ssize(column.waiting));
      column.waiting.insert(column.waiting.end(), data, data + some);
      data += some;
      left -= some;
      if (std::ssize(column.waiting) == whole) write_chunk(f);
    }
  }

  /// Fills the last chunk up with zeros.
  void write_chunk(std::size_t f) {
    Column& column = columns_[f];
    column.waiting.resize(to_size(column.chunk_rows * fields_[f].row_bytes()));
    file_.write_chunk(fields_[f].name, column.chunks * column.chunk_rows,
                      pack_chunk(column.waiting, fields_[f].dtype, level_));
    ++column.chunks;
    column.waiting.clear();
  }

  void write_ragged(std::size_t f) {
    const FieldSpec& field = fields_[f];
    Column& column = columns_[f];
    const std::int64_t elements = column.offsets.back();
    file_.create_dataset(field.name, field.dtype, with_rows(elements, field.stored_row()));
    const std::int64_t most = std::max<std::int64_t>(1, copied_bytes / field.row_bytes());
    std::vector<std::byte> piece;
    for (std::int64_t first = 0; first < elements; first += most) {
      const std::int64_t now = std::min(most, elements - first);
      piece.resize(to_size(now * field.row_bytes()));
      column.values->read(first * field.row_bytes(), piece);
      file_.write_rows(field.name, first, now, piece.data());
      column.hasher.update(piece.data(), piece.size());
    }
    const auto count = static_cast<std::int64_t>(column.offsets.size());
    file_.create_dataset(field.offsets_name(), DType::i64, Shape{count});
    file_.write_rows(field.offsets_name(), 0, count, column.offsets.data());
    file_.write_string(field.offsets_name(), checksum_attribute,
                       hash_bytes(column.offsets.data(), column.offsets.size() * sizeof(std::int64_t)).hex());
  }

  hdf5::File file_;
  const std::vector<FieldSpec>& fields_;
  int level_;
  std::int64_t rows_;
  std::int64_t written_ = 0;
  std::vector<Column> columns_;
};

DatasetWriter::DatasetWriter(WriterOptions options)
    : options_(std::move(options)), staged_(options_.folder, options_.existing) {
  check_fields(options_.fields);
  require(options_.compress >= 0 && options_.compress <= 9, "deflate has the levels 1 to 9; found {}",
          options_.compress);
  require(options_.shard_rows >= 0, "a shard cannot have {} samples", options_.shard_rows);
  shard_rows_ = options_.shard_rows > 0 ? options_.shard_rows : rows_of_default_shard(options_.fields);
  auto path = std::filesystem::absolute(options_.folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  index_.name = options_.name.empty() ? path.filename().string() : options_.name;
  index_.fields = options_.fields;
  index_.class_names = options_.class_names;
  index_.tokens = options_.tokens;
  index_.table = options_.table;
}

DatasetWriter::~DatasetWriter() = default;

void DatasetWriter::begin_split(const std::string& name, std::int64_t rows) {
  if (rows <= 0) fail(ExitCode::corrupt_input, "split '{}' of the data set {} would be empty", name, options_.folder);
  start_split(name, rows);
}

void DatasetWriter::begin_split(const std::string& name) {
  const bool fits = options_.fields.size() == 1 && options_.fields.front().ragged();
  require(fits, "a split of unknown length wants one field, which is ragged");
  start_split(name, not_announced);
}

void DatasetWriter::start_split(const std::string& name, std::int64_t rows) {
  end_split();
  check_name("split", name);
  for (const auto& split : index_.splits) require(split.name != name, "two splits are named '{}'", name);
  index_.splits.push_back({.name = name, .count = std::max<std::int64_t>(rows, 0), .shards = {}});
  split_rows_ = rows;
  written_ = 0;
}

void DatasetWriter::begin_shard() {
  const SplitEntry& split = index_.splits.back();
  const std::string file = fmt::format("{}-{:05}.h5", split.name, split.shards.size());
  const std::int64_t rows = split_rows_ == not_announced ? shard_rows_ : std::min(shard_rows_, split_rows_ - written_);
  shard_ = std::make_unique<Shard>(staged_.path() + "/" + file, options_, rows);
  index_.splits.back().shards.push_back({.file = file, .count = rows, .bytes = 0, .checksum = ""});
}

void DatasetWriter::end_shard() {
  SplitEntry& split = index_.splits.back();
  ShardEntry& entry = split.shards.back();
  entry.count = shard_->written();
  shard_->close(split.name, index_);
  shard_.reset();
  const std::string path = staged_.path() + "/" + entry.file;
  entry.bytes = narrow<std::int64_t>(file_bytes(path));
  const MappedFile map(path, to_size(entry.bytes));
  entry.checksum = hash_bytes(map.data(), map.size()).hex();
  entry.arrays = arrays_of(path);
  entry.structure = structure_of(map, entry.arrays, path).hex();
}

void DatasetWriter::end_split() {
  if (index_.splits.empty()) return;
  SplitEntry& split = index_.splits.back();
  if (split_rows_ == not_announced) {
    require(!shard_ || !sample_open_, "the last sample of split '{}' was not ended", split.name);
    if (shard_) end_shard();
    if (written_ == 0) fail(ExitCode::corrupt_input, "split '{}' of {} would be empty", split.name, options_.folder);
    split.count = split_rows_ = written_;
  }
  require(written_ == split_rows_, "split '{}' was announced with {} samples and got {}", index_.splits.back().name,
          split_rows_, written_);
}

void DatasetWriter::extend(const void* data, std::int64_t elements) {
  require(split_rows_ == not_announced, "the samples of this split come in blocks");
  if (!shard_) begin_shard();
  shard_->extend(0, elements, data);
  sample_open_ = true;
}

void DatasetWriter::end_sample() {
  extend(nullptr, 0);
  shard_->end_sample();
  sample_open_ = false;
  ++written_;
  if (shard_->room() == 0 || shard_->ragged_bytes() >= options_.shard_bytes) end_shard();
}

void DatasetWriter::add_file(const std::string& name, std::string_view text) {
  write_file_atomically(staged_.path() + "/" + name, text, FileAccess::readable);
}

void DatasetWriter::append(std::int64_t rows, std::span<const FieldBlock> blocks) {
  require(blocks.size() == options_.fields.size(), "{} blocks for {} fields", blocks.size(), options_.fields.size());
  require(rows >= 0 && rows <= split_rows_ - written_, "{} samples more than the {} that were announced",
          rows - (split_rows_ - written_), split_rows_);
  std::vector<FieldBlock> rest(blocks.begin(), blocks.end());
  while (rows > 0) {
    if (!shard_) begin_shard();
    const std::int64_t now = std::min(rows, shard_->room());
    for (std::size_t f = 0; f < rest.size(); ++f) {
      const FieldSpec& field = options_.fields[f];
      FieldBlock& block = rest[f];
      std::int64_t elements = now;
      if (field.ragged()) {
        require(std::ssize(block.lengths) == rows, "field '{}' has {} lengths for {} samples", field.name,
                block.lengths.size(), rows);
        const auto lengths = block.lengths.first(to_size(now));
        shard_->append_ragged(f, {block.data, lengths});
        elements = 0;
        for (const std::int64_t length : lengths) elements += length;
        block.lengths = block.lengths.subspan(to_size(now));
      } else {
        shard_->append_fixed(f, now, block.data);
      }
      block.data = static_cast<const std::byte*>(block.data) + elements * field.row_bytes();
    }
    shard_->advance(now);
    written_ += now;
    rows -= now;
    if (shard_->room() == 0) end_shard();
  }
}

DatasetIndex DatasetWriter::finish(Json provenance) {
  require(!index_.splits.empty(), "the data set {} has no splits", options_.folder);
  end_split();
  index_.provenance = std::move(provenance);
  write_file_atomically(staged_.path() + "/index.json", index_.to_text(), FileAccess::readable);
  staged_.publish();
  return index_;
}

}  // namespace trireme
