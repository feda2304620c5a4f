// `trireme checkpoint show`: what is in one checkpoint, from its manifest alone unless values are asked for.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "core/base/error.hpp"
#include "core/io/json.hpp"
#include "datasets/summary.hpp"
#include "launcher/job/checkpoint_command.hpp"
#include "launcher/job/checkpoint_place.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/job/tensor_numbers.hpp"
#include "launcher/job/text_table.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

constexpr const char* show_name = "trireme checkpoint show";

struct ShowAsked {
  bool tensors = false, options = false, json = false;
  std::string values;
};

std::int64_t tensor_bytes(const SavedTensor& tensor) {
  return tensor.shape.elements() * static_cast<std::int64_t>(size_of(tensor.dtype));
}

struct PlaneTotal {
  std::int64_t tensors = 0, elements = 0, bytes = 0;
};

std::map<std::string, PlaneTotal> planes_of(const CheckpointManifest& manifest) {
  std::map<std::string, PlaneTotal> planes;
  for (const SavedTensor& tensor : manifest.tensors) {
    PlaneTotal& plane = planes[tensor.plane];
    ++plane.tensors;
    plane.elements += tensor.shape.elements();
    plane.bytes += tensor_bytes(tensor);
  }
  return planes;
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// "tensor" is what the user typed: a label, or the beginning of labels before a '*'.
std::vector<const SavedTensor*> chosen(const CheckpointManifest& manifest, const std::string& asked) {
  std::vector<const SavedTensor*> found;
  std::vector<std::string> labels;
  const bool many = asked.ends_with('*');
  for (const SavedTensor& tensor : manifest.tensors) {
    labels.push_back(tensor.label());
    const bool fits = many ? labels.back().starts_with(asked.substr(0, asked.size() - 1)) : labels.back() == asked;
    if (fits) found.push_back(&tensor);
  }
  if (found.empty()) {
    const std::string nearest = nearest_name(asked, labels);
    fail(ExitCode::usage, "{}: no tensor is called '{}'{}; --tensors lists them", show_name, asked,
         nearest.empty() ? "" : fmt::format("; did you mean '{}'?", harmless(nearest)));
  }
  return found;
}

struct NamedNumbers {
  std::string label;
  TensorNumbers numbers;
};

std::vector<NamedNumbers> numbers_asked(const CheckpointReader& reader, const std::string& asked) {
  std::vector<NamedNumbers> out;
  if (asked.empty()) return out;
  for (const SavedTensor* tensor : chosen(reader.manifest(), asked)) {
    out.push_back({tensor->label(), numbers_of({&reader, tensor})});
  }
  return out;
}

std::string head_text(const CheckpointReader& reader) {
  const CheckpointManifest& manifest = reader.manifest();
  TextTable facts({{""}, {""}});
  facts.add({"step", std::to_string(manifest.step)});
  facts.add({"samples", std::to_string(manifest.samples)});
  facts.add({"created", manifest.created});
  facts.add({"ranks", std::to_string(manifest.ranks)});
  facts.add({"trireme", manifest.version});
  facts.add({"data", manifest.data});
  facts.add({"parameters", std::to_string(planes_of(manifest)["param"].elements)});
  for (const auto& [name, value] : manifest.trainer.items()) facts.add({name, text_of(value)});
  facts.add({"files", fmt::format("{}, {}", manifest.files.size(), bytes_text(total_bytes(manifest)))});
  return harmless(reader.folder()) + "\n" + facts.text();
}

std::string planes_text(const CheckpointManifest& manifest) {
  TextTable table({{"plane"}, {"tensors", Align::right}, {"elements", Align::right}, {"size", Align::right}});
  for (const auto& [name, plane] : planes_of(manifest)) {
    table.add({name, std::to_string(plane.tensors), std::to_string(plane.elements), bytes_text(plane.bytes)});
  }
  return "\n" + table.text();
}

std::string options_text(const CheckpointManifest& manifest) {
  TextTable table({{"option"}, {"value"}});
  for (const auto& [name, value] : manifest.options.items()) table.add({name, text_of(value)});
  return "\n" + table.text();
}

std::string tensors_text(const CheckpointManifest& manifest) {
  TextTable table({{"tensor"}, {"type"}, {"shape"}, {"size", Align::right}, {"pieces", Align::right}});
  for (const SavedTensor& tensor : manifest.tensors) {
    table.add({tensor.label(), std::string(name_of(tensor.dtype)), tensor.shape.text(),
               bytes_text(tensor_bytes(tensor)), std::to_string(tensor.pieces.size())});
  }
  return "\n" + table.text();
}

std::string values_text(const std::vector<NamedNumbers>& values) {
  TextTable table({{"tensor"},
                   {"min", Align::right},
                   {"max", Align::right},
                   {"mean", Align::right},
                   {"std", Align::right},
                   {"norm", Align::right},
                   {"not finite", Align::right}});
  for (const auto& [label, numbers] : values) {
    std::vector<std::string> row{label};
    for (const double value : {numbers.smallest, numbers.largest, numbers.mean, numbers.deviation, numbers.norm}) {
      row.push_back(numbers.count > 0 ? fmt::format("{:.6g}", value) : "-");
    }
    row.push_back(std::to_string(numbers.not_finite));
    table.add(std::move(row));
  }
  return "\n" + table.text();
}

Json json_of(const CheckpointReader& reader, const ShowAsked& asked, const std::vector<NamedNumbers>& values) {
  const CheckpointManifest& manifest = reader.manifest();
  Json planes = Json::object(), tensors = Json::array(), numbers = Json::object();
  for (const auto& [name, plane] : planes_of(manifest)) {
    planes[name] = {{"tensors", plane.tensors}, {"elements", plane.elements}, {"bytes", plane.bytes}};
  }
  for (const SavedTensor& tensor : manifest.tensors) {
    const auto extents = tensor.shape.extents();
    tensors.push_back({{"name", tensor.label()},
                       {"dtype", std::string(name_of(tensor.dtype))},
                       {"shape", std::vector<std::int64_t>(extents.begin(), extents.end())},
                       {"bytes", tensor_bytes(tensor)},
                       {"pieces", tensor.pieces.size()}});
  }
  for (const auto& [label, of] : values) {
    numbers[label] = {{"not_finite", of.not_finite}};
    if (of.count == 0) continue;
    numbers[label].update(
        {{"min", of.smallest}, {"max", of.largest}, {"mean", of.mean}, {"std", of.deviation}, {"norm", of.norm}});
  }
  Json out{{"path", reader.folder()},     {"step", manifest.step},         {"samples", manifest.samples},
           {"created", manifest.created}, {"ranks", manifest.ranks},       {"version", manifest.version},
           {"data", manifest.data},       {"trainer", manifest.trainer},   {"options", manifest.options},
           {"planes", std::move(planes)}, {"bytes", total_bytes(manifest)}};
  if (asked.tensors) out["tensors"] = std::move(tensors);
  if (!asked.values.empty()) out["values"] = std::move(numbers);
  return out;
}

}  // namespace

int checkpoint_show_command(std::span<const std::string> args) {
  ShowAsked asked;
  CommandLine line({.name = show_name,
                    .summary = "what is in a checkpoint; of a run, in its newest whole one",
                    .examples = {"trireme checkpoint show runs/first --options",
                                 "trireme checkpoint show runs/first --values param/0.weight",
                                 "trireme checkpoint show runs/first --values 'moment1/*'"}},
                   {.words = "PATH", .description = "a run folder, its folder of checkpoints, or one checkpoint"});
  line.options()
      .add("tensors", &asked.tensors, "list the tensors")
      .add("options", &asked.options, "list the options of the run")
      .add("values", &asked.values,
           "read and check this tensor (PLANE/NAME; a * at the end stands for anything), print min, max, mean, "
           "std, norm of its finite elements, and how many are not finite")
      .add("json", &asked.json, "print one JSON object");
  const auto words = line.parse(args);
  if (!words) return 0;
  const auto reader = open_newest(find_checkpoints(show_name, words->front()));
  const auto values = numbers_asked(*reader, asked.values);
  if (asked.json) {
    print_json(json_of(*reader, asked, values));
    return 0;
  }
  std::string text = head_text(*reader) + planes_text(reader->manifest());
  if (asked.options) text += options_text(reader->manifest());
  if (asked.tensors) text += tensors_text(reader->manifest());
  if (!values.empty()) text += values_text(values);
  print_out(text);
  return 0;
}

}  // namespace trireme
