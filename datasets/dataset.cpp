#include "datasets/dataset.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "core/base/checked.hpp"
#include "datasets/shard_file.hpp"

namespace trireme {
namespace {

std::int64_t load_offset(const std::byte* offsets, std::int64_t i) {
  std::int64_t value = 0;
  std::memcpy(&value, offsets + i * 8, 8);
  return value;
}

}  // namespace

Split::Split(const std::string& folder, const DatasetIndex& index, const SplitEntry& entry)
    : name_(entry.name),
      fingerprint_(index.fingerprint()),
      fields_(index.fields),
      class_names_(index.class_names),
      tokens_(index.tokens),
      table_(index.table) {
  if (entry.count <= 0 || entry.shards.empty()) {
    fail(ExitCode::corrupt_input, "the split '{}' of {} is empty: there is nothing to read", name_, folder);
  }
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    if (fields_[f].ragged() && !fields_[f].encoded()) continue;
    const auto form = fields_[f].encoded() ? RowType::Form::encoded : RowType::Form::plain;
    sample_fields_.push_back({fields_[f].name, {fields_[f].dtype, fields_[f].row, form}});
    stored_.push_back(static_cast<int>(f));
  }
  for (const auto& shard : entry.shards) open_shard(folder + "/" + shard.file, shard);
  stride_ = shards_.front().count;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    const bool last = i + 1 == shards_.size();
    if (last ? shards_[i].count > stride_ : shards_[i].count != stride_) {
      stride_ = 0;
      break;
    }
  }
}

void Split::open_shard(const std::string& path, const ShardEntry& entry) {
  ShardFile file(path, entry);
  Shard shard{.first = count_, .count = entry.count, .map = {}, .columns = {}, .path = path};
  std::vector<std::optional<StoredArray>> packed;
  for (const auto& field : fields_) {
    const StoredArray& values = file.find(field, field.ragged() ? -1 : entry.count);
    if (values.packed() && field.ragged())
      fail(ExitCode::corrupt_input, "'{}' of {} is ragged and packed; only fixed fields can be", field.name, path);
    packed.push_back(values.packed() ? std::optional(values) : std::nullopt);
    shard.columns.push_back(
        {values.packed() ? nullptr : file.data(values), nullptr, field.row_bytes(), values.shape[0]});
    if (!field.ragged()) continue;
    const FieldSpec offsets{field.offsets_name(), DType::i64, Shape{}, FieldSpec::Layout::fixed};
    const StoredArray& places = file.find(offsets, checked_add(entry.count, 1));
    if (places.packed()) fail(ExitCode::corrupt_input, "'{}' of {} is packed", places.name, path);
    shard.columns.back().offsets = file.data(places);
  }
  shard.map = std::move(file).release();
  count_ += entry.count;
  shards_.push_back(std::move(shard));
  for (std::size_t f = 0; f < packed.size(); ++f) {
    if (!packed[f]) continue;
    packed_ = true;
    shards_.back().columns[f].packed = std::make_unique<PackedField>(shards_.back().map, *packed[f], path, *cache_);
  }
}

const Split::Shard& Split::search(std::int64_t row) const {
  const auto after = std::upper_bound(shards_.begin(), shards_.end(), row,
                                      [](std::int64_t value, const Shard& shard) { return value < shard.first; });
  return *std::prev(after);
}

int Split::field_index(std::string_view name) const {
  std::vector<std::string> names;
  for (std::size_t f = 0; f < fields_.size(); ++f) {
    if (fields_[f].name == name) return static_cast<int>(f);
    names.push_back(fields_[f].name);
  }
  fail(ExitCode::usage, "the data set has no field '{}'; its fields are: {}", name, fmt::join(names, ", "));
}

int Split::sample_field(std::string_view name) const {
  const int stored = field_index(name);
  const auto found = std::ranges::find(stored_, stored);
  if (found == stored_.end()) {
    fail(ExitCode::usage, "field '{}' is ragged: its samples have different lengths and do not form a batch", name);
  }
  return static_cast<int>(found - stored_.begin());
}

void Split::rows(const RowRequest& request) const {
  const int field = stored_[static_cast<std::size_t>(request.field)];
  const FieldSpec& spec = fields_[static_cast<std::size_t>(field)];
  const std::int64_t bytes = spec.row_bytes();
  std::byte* out = request.room;
  for (std::size_t i = 0; i < request.samples.size(); ++i) {
    const std::int64_t sample = request.samples[i] == no_sample ? 0 : request.samples[i];
    if (spec.encoded()) {
      const RaggedRow file = ragged(field, sample);
      request.rows[i] = file.data;
      request.lengths[i] = file.elements;
      continue;
    }
    const Shard& shard = shard_of(sample);
    const Column& column = shard.columns[static_cast<std::size_t>(field)];
    request.rows[i] = column.packed ? out : column.data + (sample - shard.first) * bytes;
    if (column.packed) column.packed->copy(sample - shard.first, out);
    if (packed_) out += bytes;
  }
}

void Split::copy_row(int field, std::int64_t row, std::byte* out) const {
  const Shard& shard = shard_of(row);
  const Column& column = shard.columns[static_cast<std::size_t>(field)];
  if (column.packed) return column.packed->copy(row - shard.first, out);
  std::memcpy(out, column.data + (row - shard.first) * column.row_bytes, static_cast<std::size_t>(column.row_bytes));
}

void Split::refuse_packed(int field) const {
  fail(ExitCode::failure, "the rows of '{}' are packed: they are copied, not pointed to",
       fields_[static_cast<std::size_t>(field)].name);
}

std::vector<Split::RaggedShard> Split::ragged_shards(int field) const {
  std::vector<RaggedShard> out;
  for (const auto& shard : shards_) {
    const Column& column = shard.columns[static_cast<std::size_t>(field)];
    out.push_back({.data = column.data,
                   .elements = column.elements,
                   .samples = shard.count,
                   .offsets = column.offsets,
                   .path = shard.path});
  }
  return out;
}

RaggedRow Split::ragged(int field, std::int64_t row) const {
  const Shard& shard = shard_of(row);
  const Column& column = shard.columns[static_cast<std::size_t>(field)];
  require(fields_[static_cast<std::size_t>(field)].ragged(), "field '{}' is not ragged",
          fields_[static_cast<std::size_t>(field)].name);
  const std::int64_t begin = load_offset(column.offsets, row - shard.first);
  const std::int64_t end = load_offset(column.offsets, row - shard.first + 1);
  if (begin < 0 || end < begin || end > column.elements) {
    fail(ExitCode::corrupt_input,
         "sample {} of split '{}' has elements [{}, {}) of {}: the shard is damaged; run "
         "`trireme data verify`",
         row, name_, begin, end, column.elements);
  }
  return {column.data + begin * column.row_bytes, end - begin};
}

Dataset Dataset::open(const std::string& folder) {
  Dataset dataset;
  dataset.folder_ = folder;
  dataset.index_ = DatasetIndex::read(folder);
  return dataset;
}

bool Dataset::has_split(std::string_view name) const {
  return std::ranges::any_of(index_.splits, [&](const SplitEntry& split) { return split.name == name; });
}

std::shared_ptr<const Split> Dataset::split(std::string_view name) const {
  std::vector<std::string> names;
  for (const auto& entry : index_.splits) {
    if (entry.name == name) return std::make_shared<const Split>(folder_, index_, entry);
    names.push_back(entry.name);
  }
  fail(ExitCode::usage, "the data set {} has no split '{}'; it has: {}", folder_, name,
       names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
}

}  // namespace trireme
