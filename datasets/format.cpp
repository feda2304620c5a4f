#include "datasets/format.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "core/base/checked.hpp"
#include "core/io/file.hpp"
#include "core/io/hash.hpp"
#include "core/io/json_object.hpp"

namespace trireme {
namespace {

constexpr std::size_t most_index_bytes = std::size_t{64} << 20;
constexpr std::int64_t most_shard_bytes = std::int64_t{1} << 40;

/// Whether the index says where the arrays of its shards lie.
enum class Arrays { with, without };

Json encode(const Shape& shape) {
  const auto extents = shape.extents();
  return std::vector<std::int64_t>(extents.begin(), extents.end());
}

Json encode(const FieldSpec& field) {
  Json json = {
      {"name", field.name}, {"dtype", name_of(field.dtype)}, {"shape", encode(field.row)}, {"ragged", field.ragged()}};
  if (field.encoded()) json["encoded"] = true;
  return json;
}

Json encode(const StoredArray& array) {
  Json json = {{"name", array.name},
               {"dtype", name_of(array.dtype)},
               {"shape", encode(array.shape)},
               {"xxh3_128", array.checksum}};
  if (!array.packed()) {
    json["offset"] = array.offset;
    return json;
  }
  json["chunk_rows"] = array.chunk_rows;
  json["chunks"] = Json::array();
  for (const StoredChunk& chunk : array.chunks) json["chunks"].push_back(Json::array({chunk.offset, chunk.bytes}));
  return json;
}

bool is_packed(const DatasetIndex& index) {
  for (const auto& split : index.splits)
    for (const auto& shard : split.shards)
      if (std::ranges::any_of(shard.arrays, &StoredArray::packed)) return true;
  return false;
}

Json encode(const ShardEntry& shard, Arrays arrays) {
  Json json = {{"file", shard.file}, {"count", shard.count}, {"bytes", shard.bytes}, {"xxh3_128", shard.checksum}};
  if (arrays == Arrays::without || shard.arrays.empty()) return json;
  for (const auto& array : shard.arrays) json["arrays"].push_back(encode(array));
  json["structure"] = shard.structure;
  return json;
}

Json encode(const TokenSetEntry& tokens) {
  Json json = {{"vocabulary", tokens.vocabulary},
               {"tokenizer", tokens.tokenizer},
               {"tokenizer_xxh3_128", tokens.tokenizer_hash}};
  if (tokens.end_of_text) json["end_of_text"] = *tokens.end_of_text;
  return json;
}

Json encode(const Scaling& scaling) { return {{"mean", scaling.mean}, {"deviation", scaling.deviation}}; }

Json encode(const TableEntry& table) {
  return {{"features", table.features},
          {"targets", table.targets},
          {"feature_scaling", encode(table.feature_scaling)},
          {"target_scaling", encode(table.target_scaling)}};
}

Json encode(const DatasetIndex& index, Arrays arrays) {
  Json fields = Json::array(), splits = Json::array();
  for (const auto& field : index.fields) fields.push_back(encode(field));
  for (const auto& split : index.splits) {
    Json shards = Json::array();
    for (const auto& shard : split.shards) shards.push_back(encode(shard, arrays));
    splits.push_back({{"name", split.name}, {"count", split.count}, {"shards", std::move(shards)}});
  }
  Json json = {{"format", dataset_format},
               {"version", is_packed(index) ? packed_dataset_version : dataset_version},
               {"name", index.name},
               {"fields", fields},
               {"class_names", index.class_names},
               {"splits", splits}};
  if (index.tokens) json["tokens"] = encode(*index.tokens);
  if (index.table) json["table"] = encode(*index.table);
  return json;
}

/// For checks that know nothing of the file.
void judge(const JsonObject& json, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& error) {
    json.refuse(fmt::format("is wrong: {}", error.what()));
  }
}

FieldSpec::Layout decode_layout(const JsonObject& json) {
  const bool ragged = json.flag("ragged"), encoded = json.has("encoded") && json.flag("encoded");
  if (encoded && !ragged) json.refuse("encoded", "wants a ragged field");
  if (encoded) return FieldSpec::Layout::encoded;
  return ragged ? FieldSpec::Layout::ragged : FieldSpec::Layout::fixed;
}

FieldSpec decode_field(const JsonObject& json) {
  return {.name = json.text("name"),
          .dtype = json.dtype("dtype"),
          .row = json.shape("shape"),
          .layout = decode_layout(json)};
}

std::int64_t natural(const Json& value, const JsonObject& json) {
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > most_shard_bytes) ||
      value.get<std::int64_t>() < 0)
    json.refuse("chunks", "is no list of pairs of a place and a number of bytes");
  return value.get<std::int64_t>();
}

StoredArray decode_array(const JsonObject& json) {
  StoredArray array{.name = json.text("name"),
                    .dtype = json.dtype("dtype"),
                    .shape = json.shape("shape"),
                    .checksum = json.hash("xxh3_128").hex()};
  if (!json.has("chunk_rows")) {
    array.offset = json.count("offset");
    return array;
  }
  array.chunk_rows = json.count("chunk_rows");
  for (const Json& pair : json.list("chunks")) {
    if (!pair.is_array() || pair.size() != 2)
      json.refuse("chunks", "is no list of pairs of a place and a number of bytes");
    array.chunks.push_back({natural(pair[0], json), natural(pair[1], json)});
  }
  const std::int64_t rows = array.shape.dims() > 0 ? array.shape[0] : 0;
  if (array.chunk_rows < 1 || array.chunk_rows > rows || ceil_div(rows, array.chunk_rows) != std::ssize(array.chunks))
    json.refuse("chunks",
                fmt::format("has {} chunks of {} rows for {} rows", array.chunks.size(), array.chunk_rows, rows));
  return array;
}

void check_file_name(const JsonObject& json, const char* key, const std::string& file) {
  if (file.empty() || file.find_first_of(std::string_view("/\0", 2)) != std::string::npos || file.front() == '.')
    json.refuse(key, fmt::format("'{}' is not a plain file name", file));
}

TokenSetEntry decode_tokens(const JsonObject& json, const std::vector<FieldSpec>& fields) {
  const auto field = std::ranges::find(fields, TokenSetEntry::field, &FieldSpec::name);
  const bool fits = field != fields.end() && field->ragged() && field->row.dims() == 0 &&
                    (field->dtype == DType::u16 || field->dtype == DType::i32);
  if (!fits) json.refuse(fmt::format("wants a ragged field '{}' of u16 or i32", TokenSetEntry::field));
  TokenSetEntry tokens{.vocabulary = json.count("vocabulary"),
                       .tokenizer = json.text("tokenizer"),
                       .tokenizer_hash = json.hash("tokenizer_xxh3_128").hex()};
  check_file_name(json, "tokenizer", tokens.tokenizer);
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (tokens.vocabulary < 1 || tokens.vocabulary > most) json.refuse("vocabulary", "is not a number of tokens");
  if (!json.has("end_of_text")) return tokens;
  const std::int64_t end = json.count("end_of_text");
  if (end >= tokens.vocabulary) json.refuse("end_of_text", fmt::format("{} is outside the vocabulary", end));
  tokens.end_of_text = static_cast<std::int32_t>(end);
  return tokens;
}

Scaling decode_scaling(const JsonObject& json, std::size_t columns) {
  Scaling scaling{.mean = json.numbers("mean"), .deviation = json.numbers("deviation")};
  const bool fits = scaling.mean.size() == scaling.deviation.size() &&
                    (scaling.mean.empty() || scaling.mean.size() == columns) &&
                    std::ranges::all_of(scaling.deviation, [](double d) { return d > 0; });
  if (!fits) json.refuse(fmt::format("is no pair of a mean and a deviation above 0 for each of {} columns", columns));
  return scaling;
}

TableEntry decode_table(const JsonObject& json, const std::vector<FieldSpec>& fields) {
  TableEntry table{.features = json.texts("features"), .targets = json.texts("targets")};
  const auto columns_of = [&](const char* name) {
    const auto field = std::ranges::find(fields, name, &FieldSpec::name);
    const bool vector = field != fields.end() && field->dtype == DType::f32 && field->row.dims() == 1;
    return vector && !field->ragged() ? static_cast<std::size_t>(field->row[0]) : std::size_t{0};
  };
  const std::size_t targets = leaves_targets_open(fields) ? table.targets.size() : columns_of("y");
  if (table.features.empty() || table.features.size() != columns_of("x"))
    json.refuse("features", "are not as many as the numbers in a field x, f32");
  if (table.targets.size() != (targets == 0 ? 1 : targets))
    json.refuse("targets", "are not as many as the numbers in y");
  table.feature_scaling = decode_scaling(json.object("feature_scaling"), table.features.size());
  table.target_scaling = decode_scaling(json.object("target_scaling"), targets);
  return table;
}

ShardEntry decode_shard(const JsonObject& json) {
  ShardEntry shard{.file = json.text("file"),
                   .count = json.count("count"),
                   .bytes = json.count("bytes"),
                   .checksum = json.hash("xxh3_128").hex()};
  check_file_name(json, "file", shard.file);
  if (json.has("arrays") || json.has("structure")) {
    json.each("arrays", [&](const JsonObject& array) { shard.arrays.push_back(decode_array(array)); });
    if (shard.arrays.empty()) json.refuse("arrays", "is empty");
    shard.structure = json.hash("structure").hex();
  }
  // A sample has at least a byte, and zlib packs no more than 1030 into one; with all limits no sum over shards
  // overflows.
  const bool packed = std::ranges::any_of(shard.arrays, &StoredArray::packed);
  if (shard.count == 0 || shard.count / (packed ? 1100 : 1) > shard.bytes || shard.count > most_shard_bytes ||
      shard.bytes > most_shard_bytes) {
    json.refuse(fmt::format("is {} with {} samples in {} bytes", shard.file, shard.count, shard.bytes));
  }
  return shard;
}

SplitEntry decode_split(const JsonObject& json) {
  SplitEntry split{.name = json.text("name"), .count = json.count("count"), .shards = {}};
  judge(json, [&] { check_name("split", split.name); });
  std::int64_t total = 0;
  json.each("shards", [&](const JsonObject& entry) {
    split.shards.push_back(decode_shard(entry));
    const std::int64_t count = split.shards.back().count;
    if (count > split.count - total) json.refuse(fmt::format("has shards of more than its {} samples", split.count));
    total += count;
  });
  if (total != split.count) json.refuse(fmt::format("has {} samples, its shards hold {}", split.count, total));
  return split;
}

DatasetIndex decode(const JsonObject& json) {
  if (json.text("format") != dataset_format) json.refuse("format", fmt::format("is not \"{}\"", dataset_format));
  const std::int64_t version = json.count("version");
  if (version != dataset_version && version != packed_dataset_version) {
    json.refuse("version", fmt::format("is {}, this program reads versions {} and {}: import the data again", version,
                                       dataset_version, packed_dataset_version));
  }
  DatasetIndex index;
  index.name = json.text("name");
  index.class_names = json.texts("class_names");
  json.each("fields", [&](const JsonObject& field) { index.fields.push_back(decode_field(field)); });
  judge(json, [&] { check_fields(index.fields); });
  json.each("splits", [&](const JsonObject& split) { index.splits.push_back(decode_split(split)); });
  if (json.has("tokens")) index.tokens = decode_tokens(json.object("tokens"), index.fields);
  if (json.has("table")) index.table = decode_table(json.object("table"), index.fields);
  index.provenance = json.has("provenance") ? json.value("provenance") : Json::object();
  if (!index.provenance.is_object()) json.refuse("provenance", "is not an object");
  return index;
}

}  // namespace

std::string DatasetIndex::to_text() const {
  Json json = encode(*this, Arrays::with);
  json["provenance"] = provenance;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string DatasetIndex::fingerprint() const {
  return hash_text(encode(*this, Arrays::without).dump(-1, ' ', false, Json::error_handler_t::replace)).hex();
}

DatasetIndex DatasetIndex::read(const std::string& folder) {
  const std::string path = folder + "/index.json";
  if (!std::filesystem::is_regular_file(path)) {
    fail(ExitCode::corrupt_input, "{} is not a data set: there is no {}; make one with `trireme data import`", folder,
         path);
  }
  const Json json = parse_json(read_file(path, most_index_bytes), path, "the index of a data set");
  return decode(JsonObject(json, path, ""));
}

void check_name(std::string_view what, std::string_view name) {
  const bool good = !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  });
  require(good, "the {} name '{}' is not made of letters, digits, '_' and '-'", what, name);
}

namespace {

void check_encoded(const FieldSpec& field) {
  constexpr std::int64_t most = 65536;
  const Shape& shape = field.row;
  require(field.dtype == DType::u8 && shape.dims() == 3 && shape[0] <= most && shape[1] <= most &&
              (shape[2] == 1 || shape[2] == 3),
          "field '{}' of encoded images is {} {}; wanted u8 (H, W, C) with sides of at most {} and 1 or 3 channels",
          field.name, name_of(field.dtype), shape.text(), most);
}

}  // namespace

bool leaves_targets_open(const std::vector<FieldSpec>& fields) {
  return std::ranges::none_of(fields,
                              [](const FieldSpec& field) { return field.name == "y" || field.name == "label"; });
}

void check_fields(const std::vector<FieldSpec>& fields) {
  require(!fields.empty(), "a data set needs at least one field");
  for (std::size_t i = 0; i < fields.size(); ++i) {
    check_name("field", fields[i].name);
    require(fields[i].row.dims() < Shape::max_dims, "field '{}' has {} dims, at most {} fit", fields[i].name,
            fields[i].row.dims(), Shape::max_dims - 1);
    require(fields[i].row.elements() > 0, "field '{}' of shape {} holds nothing", fields[i].name, fields[i].row.text());
    if (fields[i].encoded()) check_encoded(fields[i]);
    for (std::size_t k = 0; k < i; ++k)
      require(fields[k].name != fields[i].name, "two fields are named '{}'", fields[i].name);
  }
}

}  // namespace trireme
