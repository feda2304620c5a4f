#include "datasets/summary.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/checked.hpp"

namespace trireme {

std::string bytes_text(std::int64_t bytes) {
  const char* const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024; ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

namespace {

/// As the arrays of the shards say: shards are not opened.
std::int64_t tokens_of(const SplitEntry& split) {
  std::int64_t count = 0;
  for (const auto& shard : split.shards) {
    const auto found = std::ranges::find(shard.arrays, TokenSetEntry::field, &StoredArray::name);
    if (found != shard.arrays.end()) count = checked_add(count, found->shape.elements());
  }
  return count;
}

}  // namespace

std::string describe(const Dataset& dataset) {
  const DatasetIndex& index = dataset.index();
  std::string text = fmt::format("{}  ({})\n", index.name, dataset.folder());
  text += "fields\n";
  for (const auto& field : index.fields) {
    text += fmt::format("  {:<12} {} {}{}\n", field.name, name_of(field.dtype), field.row.text(),
                        field.encoded()  ? " of PNG and JPEG files"
                        : field.ragged() ? " ragged"
                                         : "");
  }
  text += "splits\n";
  for (const auto& split : index.splits) {
    std::int64_t bytes = 0;
    for (const auto& shard : split.shards) bytes += shard.bytes;
    const std::string samples = index.tokens ? fmt::format("{} documents, {} tokens", split.count, tokens_of(split))
                                             : fmt::format("{} samples", split.count);
    text += fmt::format("  {:<12} {} in {} shard{}, {}\n", split.name, samples, split.shards.size(),
                        split.shards.size() == 1 ? "" : "s", bytes_text(bytes));
  }
  if (const auto& tokens = index.tokens) {
    text += fmt::format("tokens\n  {:<12} {}\n  {:<12} {}\n  {:<12} {}, {}\n", "vocabulary", tokens->vocabulary,
                        "end of text", tokens->end_of_text ? std::to_string(*tokens->end_of_text) : "none", "tokenizer",
                        tokens->tokenizer, tokens->tokenizer_hash);
  }
  if (const auto& table = index.table) {
    text += fmt::format("table\n  {:<12} {}\n  {:<12} {}\n  {:<12} {}\n", "features", fmt::join(table->features, ", "),
                        "targets", fmt::join(table->targets, ", "), "stored",
                        table->feature_scaling.mean.empty() ? "as they are" : "standardised");
  }
  if (!index.class_names.empty()) {
    text += fmt::format("classes\n  {}: {}\n", index.class_names.size(), fmt::join(index.class_names, ", "));
  }
  text += fmt::format("fingerprint\n  {}\n", dataset.fingerprint());
  text += "provenance\n";
  for (const auto& [key, value] : index.provenance.items()) {
    if (!value.is_array())
      text += fmt::format("  {:<12} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  const Json sources = index.provenance.value("sources", Json::array());
  for (const auto& source : sources) {
    text += fmt::format("  {:<12} {}\n", "source", source.dump());
  }
  return text;
}

Json describe_json(const Dataset& dataset) {
  Json json = Json::parse(dataset.index().to_text());
  json["fingerprint"] = dataset.fingerprint();
  json["folder"] = dataset.folder();
  return json;
}

}  // namespace trireme
