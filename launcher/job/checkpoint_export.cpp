// `trireme checkpoint export`: the weights of a checkpoint as a folder that Hugging Face's libraries load, whatever the
// number of files they were saved in. Every byte is checked on the way, and memory does not grow with the model.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <set>

#include "core/base/checked.hpp"
#include "core/base/log.hpp"
#include "core/io/safetensors_writer.hpp"
#include "core/models/hugging_face_tensors.hpp"
#include "core/tensor/convert.hpp"
#include "datasets/progress.hpp"
#include "datasets/summary.hpp"
#include "launcher/job/checkpoint_command.hpp"
#include "launcher/job/checkpoint_place.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/job/tensor_stream.hpp"
#include "launcher/job/text_table.hpp"
#include "launcher/run/frozen_weights.hpp"
#include "launcher/run/model_folder.hpp"
#include "launcher/run/option_value.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr const char* export_name = "trireme checkpoint export";

struct ExportAsked {
  std::string to;
  DType dtype = DType::f32;
  std::string shard_size = "5GB";
  WeightKind weights = WeightKind::averaged;
};

/// "5GB": decimal units as in the names of disks; KiB, MiB and GiB are powers of 1024.
std::int64_t bytes_asked(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 7> units = {{{"KiB", 1LL << 10},
                                                                               {"MiB", 1LL << 20},
                                                                               {"GiB", 1LL << 30},
                                                                               {"KB", 1'000},
                                                                               {"MB", 1'000'000},
                                                                               {"GB", 1'000'000'000},
                                                                               {"", 1}}};
  for (const auto& [unit, bytes] : units) {
    if (!text.ends_with(unit)) continue;
    const auto count = detail::read_integer(std::string_view(text).substr(0, text.size() - unit.size()));
    constexpr std::int64_t most = 1'000'000'000;
    if (count && *count >= 1 && *count <= (bytes == 1 ? most * most : most)) return *count * bytes;
    break;
  }
  fail(ExitCode::usage, "{}: --shard-size is '{}', wanted a size like 5GB, 500MB or 1GiB", export_name, text);
}

/// The folder that has config.json and the tokenizer: that of the run.
std::string run_around(const CheckpointPlace& place) {
  const fs::path folder = fs::absolute(place.folder).lexically_normal();
  return (folder.filename() == "checkpoints" ? folder.parent_path() : folder).string();
}

/// Tensors of the checkpoint in the order of the file to be made, and what is in the file: a tensor of ours is the rows
/// of one or more there, one after the other, so its bytes are theirs.
struct Plan {
  struct Source {
    const SavedTensor* tensor;
    DType dtype;  ///< In the file.
  };
  std::vector<Source> sources;
  std::vector<SafeTensorSpec> targets;
  std::int64_t elements = 0;
  std::int64_t bytes = 0;

  void add(const SavedTensor& source, DType dtype, const std::vector<NamedShape>& parts) {
    sources.push_back({&source, dtype});
    elements = checked_add(elements, source.shape.elements());
    for (const NamedShape& part : parts) {
      targets.push_back({part.name, dtype, part.shape});
      bytes = checked_add(bytes, targets.back().bytes());
    }
  }
};

Plan plan_model(const CheckpointReader& reader, const ModelConfig& config, const ExportAsked& asked) {
  const std::string plane = plane_of(asked.weights, reader.manifest());
  std::vector<NamedShape> wanted, found;
  const std::vector<TensorMapping> mappings = tensor_mappings(config);
  for (const TensorMapping& mapping : mappings) wanted.push_back({mapping.name, mapping.shape});
  for (const SavedTensor& tensor : reader.manifest().tensors) {
    if (tensor.plane == plane) found.push_back({tensor.name, tensor.shape});
  }
  std::vector<std::string> problems = tensor_differences(wanted, found);
  for (const SavedTensor& tensor : reader.manifest().tensors) {
    if (tensor.plane == plane && !is_floating(tensor.dtype)) {
      problems.push_back(fmt::format("{} is of {}, wanted a floating type", tensor.label(), name_of(tensor.dtype)));
    }
  }
  if (!problems.empty()) {
    fail(ExitCode::corrupt_input, "{}: the tensors in {} are not those of the run's {}:\n  {}", export_name,
         reader.folder(), model_config_file, fmt::join(problems, "\n  "));
  }
  Plan plan;
  for (const TensorMapping& mapping : mappings) plan.add(*reader.find(plane, mapping.name), asked.dtype, mapping.parts);
  return plan;
}

/// Parameters, and what is saved but not trained, under our names; the latter keeps its type.
Plan plan_any(const CheckpointReader& reader, const ExportAsked& asked) {
  const std::string plane = plane_of(asked.weights, reader.manifest());
  Plan plan;
  std::set<std::string> names;
  for (const SavedTensor& tensor : reader.manifest().tensors) {
    const bool trained = tensor.plane == plane;
    if (!trained && tensor.plane != "state") continue;
    if (!names.insert(tensor.name).second) {
      fail(ExitCode::usage, "{}: {} is the name of a parameter and of a state: a safetensors file cannot hold both",
           export_name, tensor.name);
    }
    plan.add(tensor, trained && is_floating(tensor.dtype) ? asked.dtype : tensor.dtype, {{tensor.name, tensor.shape}});
  }
  return plan;
}

/// Streams one tensor; how many of its values are too large for the new type.
std::int64_t copy(const CheckpointReader& reader, const Plan::Source& source, SafeTensorsFolderWriter& writer) {
  const DType from = source.tensor->dtype;
  TensorStream stream(reader, *source.tensor);
  std::vector<std::byte> converted;
  std::int64_t overflowed = 0;
  for (auto block = stream.ahead(); !block.empty(); block = stream.ahead()) {
    if (from == source.dtype) {
      writer.append(block);
    } else {
      converted.resize(block.size() / size_of(from) * size_of(source.dtype));
      overflowed += convert_elements(from, block, source.dtype, converted);
      writer.append(converted);
    }
    stream.take(block.size());
  }
  return overflowed;
}

void write_tensors(const CheckpointReader& reader, const Plan& plan, SafeTensorsFolderWriter& writer) {
  Progress progress("exporting", plan.elements, "elements");
  for (const Plan::Source& source : plan.sources) {
    const std::int64_t overflowed = copy(reader, source, writer);
    if (overflowed > 0) {
      log::warning("{}: {} values are too large for {} and became infinite", harmless(source.tensor->label()),
                   overflowed, name_of(source.dtype));
    }
    progress.advance(source.tensor->shape.elements());
  }
  writer.commit();
}

/// Makes the folder and fills it; the names of its files.
std::vector<std::string> write_folder(const CheckpointReader& reader, const std::string& run, const ExportAsked& asked,
                                      Plan& plan) {
  const std::int64_t shard_bytes = bytes_asked(asked.shard_size);
  std::optional<HuggingFaceConfig> config = read_model_config(run);
  plan = config ? plan_model(reader, config->model, asked) : plan_any(reader, asked);
  StagedFolder folder(asked.to, Existing::refuse, new_model_folder("export"));
  SafeTensorsFolderWriter writer(folder.path(), plan.targets, shard_bytes);
  write_tensors(reader, plan, writer);
  std::vector<std::string> files = writer.files();
  if (config) {
    config->dtype = asked.dtype;
    write_model_config(folder.path(), *config);
    files.emplace_back(model_config_file);
  }
  for (const std::string& name : copy_tokenizer(run, folder.path())) files.push_back(name);
  if (config)
    if (const auto name = describe_tokenizer(folder.path(), *config)) files.push_back(*name);
  folder.publish();
  return files;
}

}  // namespace

int checkpoint_export_command(std::span<const std::string> args) {
  ExportAsked asked;
  CommandLine line({.name = export_name,
                    .summary = "writes the weights of a checkpoint as safetensors files; those of a language model as "
                               "a folder that Hugging Face's libraries load",
                    .examples = {"trireme checkpoint export runs/gpt2 --to gpt2-export --dtype bf16",
                                 "trireme checkpoint export runs/gpt2/checkpoints/step_00001000 --to step-1000"}},
                   {.words = "PATH",
                    .description = "a run, its folder of checkpoints (of both the newest whole one is taken), or one "
                                   "checkpoint"});
  line.options()
      .add("to", &asked.to, "the folder to be made; must be given")
      .add("dtype", &asked.dtype, "type of the weights in the files",
           {{"f32", DType::f32}, {"bf16", DType::bf16}, {"f16", DType::f16}})
      .add("shard-size", &asked.shard_size, "beyond this the weights are cut into several files, with an index");
  add_weights_option(line.options(), asked.weights);
  const auto words = line.parse(args);
  if (!words) return 0;
  if (asked.to.empty()) fail(ExitCode::usage, "{}: say where to: --to DIR", export_name);
  const CheckpointPlace place = find_checkpoints(export_name, words->front());
  const auto reader = open_newest(place);
  const std::string run = run_around(place);
  Plan plan;
  const std::vector<std::string> files = write_folder(*reader, run, asked, plan);
  std::string text =
      fmt::format("{}\n  {} tensors, {} elements, {}, to {}: {}\n", harmless(reader->folder()), plan.targets.size(),
                  plan.elements, bytes_text(plan.bytes), harmless(asked.to), fmt::join(files, ", "));
  if (std::ranges::find(files, model_config_file) == files.end()) {
    text += fmt::format("  no {} in {}: no language model, so tensors keep their names and the new folder has none\n",
                        model_config_file, harmless(run));
  }
  print_out(text);
  return 0;
}

}  // namespace trireme
