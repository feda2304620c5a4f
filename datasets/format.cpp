#include "datasets/format.hpp"

#include <algorithm>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "core/io/hash.hpp"

namespace trireme {
namespace {

Json encode(const FieldSpec& field) {
  const auto extents = field.row.extents();
  return {{"name", field.name},
          {"dtype", name_of(field.dtype)},
          {"shape", std::vector<std::int64_t>(extents.begin(), extents.end())},
          {"ragged", field.ragged()}};
}

Json encode(const SplitEntry& split) {
  Json shards = Json::array();
  for (const auto& shard : split.shards) {
    shards.push_back(
        {{"file", shard.file}, {"count", shard.count}, {"bytes", shard.bytes}, {"xxh3_128", shard.checksum}});
  }
  return {{"name", split.name}, {"count", split.count}, {"shards", shards}};
}

Json encode(const DatasetIndex& index) {
  Json fields = Json::array(), splits = Json::array();
  for (const auto& field : index.fields) fields.push_back(encode(field));
  for (const auto& split : index.splits) splits.push_back(encode(split));
  return {{"format", dataset_format}, {"version", dataset_version},       {"name", index.name},
          {"fields", fields},         {"class_names", index.class_names}, {"splits", splits}};
}

FieldSpec decode_field(const Json& json) {
  FieldSpec field;
  field.name = json.at("name").get<std::string>();
  field.dtype = parse_dtype(json.at("dtype").get<std::string>());
  const auto extents = json.at("shape").get<std::vector<std::int64_t>>();
  field.row = Shape(std::span<const std::int64_t>(extents));
  field.layout = json.at("ragged").get<bool>() ? FieldSpec::Layout::ragged : FieldSpec::Layout::fixed;
  return field;
}

SplitEntry decode_split(const Json& json) {
  SplitEntry split;
  split.name = json.at("name").get<std::string>();
  split.count = json.at("count").get<std::int64_t>();
  check_name("split", split.name);
  std::int64_t total = 0;
  for (const Json& entry : json.at("shards")) {
    ShardEntry shard{.file = entry.at("file").get<std::string>(),
                     .count = entry.at("count").get<std::int64_t>(),
                     .bytes = entry.at("bytes").get<std::int64_t>(),
                     .checksum = entry.at("xxh3_128").get<std::string>()};
    require(!shard.file.empty() && shard.file.find('/') == std::string::npos && shard.file != "..",
            "the shard name '{}' is not a plain file name", shard.file);
    require(shard.count > 0 && shard.bytes > 0, "shard {} has {} samples in {} bytes", shard.file, shard.count,
            shard.bytes);
    require(shard.count <= split.count - total, "the shards of '{}' hold more than its {} samples", split.name,
            split.count);
    total += shard.count;
    split.shards.push_back(std::move(shard));
  }
  require(total == split.count, "split '{}' has {} samples, its shards hold {}", split.name, split.count, total);
  return split;
}

DatasetIndex decode(const Json& json) {
  require(json.is_object() && json.value("format", "") == dataset_format, "\"format\" is not \"{}\"", dataset_format);
  const auto version = json.at("version").get<std::int64_t>();
  require(version == dataset_version, "it has format version {}, this program reads version {}: import the data again",
          version, dataset_version);
  DatasetIndex index;
  index.name = json.at("name").get<std::string>();
  for (const Json& field : json.at("fields")) index.fields.push_back(decode_field(field));
  check_fields(index.fields);
  index.class_names = json.at("class_names").get<std::vector<std::string>>();
  for (const Json& split : json.at("splits")) index.splits.push_back(decode_split(split));
  index.provenance = json.value("provenance", Json::object());
  return index;
}

}  // namespace

std::string DatasetIndex::to_text() const {
  Json json = encode(*this);
  json["provenance"] = provenance;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string DatasetIndex::fingerprint() const {
  return hash_text(encode(*this).dump(-1, ' ', false, Json::error_handler_t::replace)).hex();
}

DatasetIndex DatasetIndex::read(const std::string& folder) {
  const std::string path = folder + "/index.json";
  if (!std::filesystem::is_regular_file(path)) {
    fail(ExitCode::corrupt_input, "{} is not a data set: there is no {}; make one with `trireme data import`", folder,
         path);
  }
  const std::string text = read_file(path);
  try {
    return decode(Json::parse(text));
  } catch (const Json::exception& error) {
    fail(ExitCode::corrupt_input, "{} is not the index of a data set: {}", path, error.what());
  } catch (const Error& error) {
    fail(ExitCode::corrupt_input, "{} is not the index of a data set: {}", path, error.what());
  }
}

void check_name(std::string_view what, std::string_view name) {
  const bool good = !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  });
  require(good, "the {} name '{}' is not made of letters, digits, '_' and '-'", what, name);
}

void check_fields(const std::vector<FieldSpec>& fields) {
  require(!fields.empty(), "a data set needs at least one field");
  for (std::size_t i = 0; i < fields.size(); ++i) {
    check_name("field", fields[i].name);
    require(fields[i].row.dims() < Shape::max_dims, "field '{}' has {} dims, at most {} fit", fields[i].name,
            fields[i].row.dims(), Shape::max_dims - 1);
    require(fields[i].row.elements() > 0, "field '{}' of shape {} holds nothing", fields[i].name, fields[i].row.text());
    for (std::size_t k = 0; k < i; ++k)
      require(fields[k].name != fields[i].name, "two fields are named '{}'", fields[i].name);
  }
}

}  // namespace trireme
